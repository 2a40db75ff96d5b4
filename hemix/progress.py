"""Progress people can follow: a bar on a terminal, a line every few seconds in a log."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
PREFIX = "HEMIX_PROGRESS_PREFIX"


def progress(
    items: Iterable[T],
    label: str,
    total: int | None = None,
    every_s: float = 5.0,
    size: Callable[[T], int] = lambda _: 1,
) -> Iterator[T]:
    """Yield ``items``; print ``label done/total rate`` at most every ``every_s`` seconds.

    Args:
        items: what is worked through.
        label: what the line begins with.
        total: how much there is; None when nobody knows.
        every_s: seconds between two lines.
        size: how much of ``total`` an item is, its rows for example.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    start = last = time.monotonic()
    done = 0
    for item in items:
        yield item
        done += size(item)
        now = time.monotonic()
        if now - last >= every_s:
            last = now
            of = f"/{total:,}" if total is not None else ""
            left = f", {(total - done) * (now - start) / done:.0f} s left" if total and done else ""
            say(f"{label} {done:,}{of} ({rate(done, now - start)}{left})")
    seconds = time.monotonic() - start
    if seconds >= every_s:
        say(f"{label} {done:,} done in {seconds:.1f} s")


def rate(done: int, seconds: float) -> str:
    """How fast, in the unit in which it reads best.

    Example:
        >>> rate(120_000, 10), rate(31, 10), rate(3, 60)
        ('12,000/s', '3.1/s', '20 s each')
    """
    each = done / seconds
    if each >= 100:
        return f"{each:,.0f}/s"
    return f"{each:.1f}/s" if each >= 0.5 or not done else f"{1 / each:.0f} s each"


def say(message: str) -> None:
    """One line of progress, at once (steps run in sub-processes whose output is piped).

    The launcher of a step sets a prefix to tell progress from what libraries print.
    """
    print(f"{os.environ.get(PREFIX, '')}{message}", file=sys.stdout, flush=True)
