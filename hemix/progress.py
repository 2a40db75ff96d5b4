"""Progress people can follow: a bar on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
PREFIX = "HEMIX_PROGRESS_PREFIX"


def progress(
    items: Iterable[T], label: str, total: int | None = None, every_s: float = 5.0
) -> Iterator[T]:
    """Yield ``items``; print ``label done/total rate`` at most every ``every_s`` seconds."""
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    start = last = time.monotonic()
    done = 0
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - last >= every_s:
            last = now
            of = f"/{total}" if total is not None else ""
            left = f", {(total - done) * (now - start) / done:.0f} s left" if total else ""
            say(f"{label} {done}{of} ({done / (now - start):.1f}/s{left})")
    seconds = time.monotonic() - start
    if seconds >= every_s:
        say(f"{label} {done} done in {seconds:.1f} s")


def say(message: str) -> None:
    """One line of progress, at once (steps run in sub-processes whose output is piped).

    The launcher of a step sets a prefix to tell progress from what libraries print.
    """
    print(f"{os.environ.get(PREFIX, '')}{message}", file=sys.stdout, flush=True)
