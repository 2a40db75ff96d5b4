"""A request's time: in milliseconds, and no other unit; and what its answer then says of it."""

from __future__ import annotations

import time
from collections.abc import Iterable

from hemix.bounds import EARLIEST_MS, LATEST_MS
from hemix.errors import RequestError
from hemix.serving.messages.answer import TIME_AHEAD, TIME_BEFORE_FEATURES
from hemix.serving.messages.echo import short

AHEAD_MS = 86_400_000
"""How far a request's time may be ahead of this machine's clock before it is flagged: a day."""

_UNITS = (("seconds", 1000.0), ("microseconds", 1e-3), ("nanoseconds", 1e-6))


def milliseconds(value: object, where: str) -> int:
    """A time in whole milliseconds since 1970, UTC, of 1980 to 2099.

    Raises:
        RequestError: it is none; names ``where``, the value and, when it is a time in another
            unit, what to give instead.
    """
    if type(value) is int and EARLIEST_MS <= value < LATEST_MS:
        return value
    if type(value) is int:
        must = "must be milliseconds since 1970, UTC, from 1980 to 2099"
    else:
        must = "must be whole milliseconds since 1970, UTC"
    raise RequestError(f"{where}: {short(value)} {must}{_mend(value)}.")


def _mend(value: object) -> str:
    if (type(value) is not int and type(value) is not float) or not abs(value) < 2**64:
        return ""
    if EARLIEST_MS <= value < LATEST_MS:
        return f"; give {round(value)}"
    for unit, milliseconds_a_unit in _UNITS:
        meant = value * milliseconds_a_unit
        if EARLIEST_MS <= meant < LATEST_MS:
            return f"; {unit}? Then give {round(meant)}"
    return ""


def time_flags(time_ms: int, newest: Iterable[float]) -> tuple[str, ...]:
    """What is odd about the time that a request gives.

    Args:
        time_ms: the request's time.
        newest: epoch seconds of the newest row of each feature view that was read.
    """
    if time_ms < max(newest, default=0.0) * 1000:
        return (TIME_BEFORE_FEATURES,)
    return (TIME_AHEAD,) if time_ms > time.time() * 1000 + AHEAD_MS else ()
