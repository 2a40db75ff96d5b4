"""How times and lengths of time are written in a definition."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time

from pydantic import ValidationError, ValidatorFunctionWrapHandler

LONGEST_S = 100 * 366 * 86400
_DURATION = re.compile(r"([0-9]{1,12})\s*(s|m|h|d)?")
_ZONE_APART = re.compile(r"\s+([+-][0-9]{2}:?[0-9]{2}|Z)$")
_WRITE_TIME = "write it like 2024-03-01 or 2024-03-01T06:30:00"
_WRITE_LENGTH = "write it like 90s, 5m, 6h or 2d"
_SECONDS = {None: 1, "s": 1, "m": 60, "h": 3600, "d": 86400}


def utc(value: object) -> object:
    """Dates, datetimes and ISO texts as aware UTC datetimes; texts without a zone are UTC.

    Numbers are refused: 20240301 may be a day or seconds.
    """
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(_ZONE_APART.sub(r"\1", value.strip()))
        except ValueError:
            raise ValueError(f"{value!r} is not a time; {_WRITE_TIME}") from None
    if isinstance(value, bool | list | dict | None):
        raise ValueError(f"{value!r} is not a time; {_WRITE_TIME}")
    if isinstance(value, int | float):
        raise ValueError(f"{value!r} is a number, not a time; {_like(str(value))}")
    if not isinstance(value, date):
        return value
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{value} is not a time of a log; {_WRITE_TIME}") from None


def _like(text: str) -> str:
    """What a number that looks like a day should have been."""
    try:
        return f"write {datetime.strptime(text, '%Y%m%d'):%Y-%m-%d}"
    except ValueError:
        return _WRITE_TIME


def duration(value: object) -> object:
    """``90``, ``"90s"``, ``"5m"``, ``"1h"``, ``"2d"`` in seconds."""
    if isinstance(value, bool | float | date):
        raise ValueError(f"{value!r} is not a length of time; {_WRITE_LENGTH}")
    if isinstance(value, str):
        if not (match := _DURATION.fullmatch(value.strip())):
            raise ValueError(f"{value!r} is not a length of time; {_WRITE_LENGTH}")
        value = int(match[1]) * _SECONDS[match[2]]
    if isinstance(value, int) and value > LONGEST_S:
        raise ValueError(f"{value} seconds are more than {LONGEST_S // 86400} days")
    return value


def realtime_window(value: object, check: ValidatorFunctionWrapHandler) -> object:
    """What ``check`` makes of a real-time window; one message for all that it can be."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError(
            f"{value!r} is not a window; write day, last, or a length of time such as 30m or 6h"
        ) from None


def clock(value: str) -> str:
    """An instant of the day as ``HH:MM`` or ``HH:MM:SS``.

    Raises:
        ValueError: it is none.
    """
    try:
        found = time.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo is not None or len(value) not in (5, 8):
        raise ValueError(f"{value!r} is not an instant of the day like 12:00 or 23:59:59")
    return value


def clock_ms(value: str | None) -> int:
    """Milliseconds since midnight; 0 for None."""
    if value is None:
        return 0
    found = time.fromisoformat(value)
    return ((found.hour * 60 + found.minute) * 60 + found.second) * 1000
