"""How times and lengths of time are written in a definition."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pydantic import ValidationError, ValidatorFunctionWrapHandler

_DURATION = re.compile(r"^(\d+)\s*(s|m|h|d)$")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def utc(value: object) -> object:
    """YAML dates, datetimes and ISO texts as aware UTC datetimes; texts without a zone are UTC."""
    if isinstance(value, str):
        value = datetime.fromisoformat(value)
    if not hasattr(value, "year"):
        return value
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)  # type: ignore[attr-defined]
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def duration(value: object) -> object:
    """``90``, ``"90s"``, ``"5m"``, ``"1h"``, ``"2d"`` in seconds."""
    if isinstance(value, str) and (match := _DURATION.match(value.strip())):
        return int(match[1]) * _SECONDS[match[2]]
    return value


def realtime_window(value: object, check: ValidatorFunctionWrapHandler) -> object:
    """What ``check`` makes of a real-time window; one message for all that it can be."""
    try:
        return check(value)
    except ValidationError:
        raise ValueError(
            f"{value!r} is no window; write day, last, or a length of time such as 30m or 6h"
        ) from None
