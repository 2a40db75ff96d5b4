"""Beam options from a step's flags, and our failures out of a runner's."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from hemix import errors

_OURS = re.compile(r"hemix\.errors\.(\w+): (.*?)(?: \[while running|\n\n|\Z)", re.DOTALL)


def beam_options(flags: Sequence[str]) -> Any:
    """``PipelineOptions`` of these flags; without ``--runner`` the pipeline runs in this process.

    The name DirectRunner first tries to download another runner; FnApiRunner is the one it means.
    """
    from apache_beam.options.pipeline_options import PipelineOptions

    flags = list(flags)
    if not any(flag.startswith("--runner") for flag in flags):
        flags.append("--runner=FnApiRunner")
    return PipelineOptions(flags)


@contextmanager
def own_errors() -> Iterator[None]:
    """Raise the :class:`HemixError` that failed a pipeline as itself.

    A runner adds the step's name to it, or hands over a worker's traceback as text.
    """
    try:
        yield
    except Exception as error:
        text = str(error)
        if isinstance(error, errors.HemixError):
            text = f"hemix.errors.{type(error).__name__}: {text}"
        found = _OURS.search(text)
        kind = getattr(errors, found[1], None) if found else None
        if found is None or kind is None:
            raise
        raise kind(" ".join(found[2].split())) from error
