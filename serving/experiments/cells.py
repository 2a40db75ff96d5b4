"""One value of a log as what it must be: an id, a time, a number. Nothing is guessed.

Each function raises ValueError with what is wrong and how to mend it; the caller adds where.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import Decimal

EXACT = 2**53
"""Floats hold whole numbers below it exactly."""
_UNITS = (
    (1e8, 1e10, "seconds", "multiply by 1,000"),
    (1e14, 1e17, "microseconds", "divide by 1,000"),
    (1e17, 1e20, "nanoseconds", "divide by 1,000,000"),
)
"""From, below: what no time in milliseconds between 1973 and 5138 is."""
_MS = timedelta(milliseconds=1)
_FLAGS = {"true": 1.0, "false": 0.0}


def wrong_unit(ms: float) -> str:
    """What a number taken for milliseconds since 1970 looks like instead; empty when it does not."""
    for low, high, unit, mend in _UNITS:
        if low <= abs(ms) < high:
            return f"looks like {unit}, and must be milliseconds: {mend}"
    return ""


def id_of(value: object) -> str:
    """An id as text: ``7``, ``7.0`` (a float or a decimal) and ``"7"`` are the same id."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return str(int(value))
    if isinstance(value, Decimal) and value == value.to_integral_value():
        return str(int(value))
    if isinstance(value, float) and value.is_integer():
        raise ValueError("is a float that has lost digits: write whole numbers or text")
    raise ValueError("is not an id: write whole numbers or text")


def time_of(value: object) -> int:
    """Milliseconds since 1970 of a number of them, a timestamp or ISO text; no zone means UTC."""
    if isinstance(value, str):
        text = value.strip()
        try:
            value = Decimal(text) if text[:1].isdigit() and "-" not in text[:8] else text
            if isinstance(value, str):
                value = datetime.fromisoformat(value)
        except (ValueError, ArithmeticError) as error:
            raise ValueError(
                "is not a time: write milliseconds, a timestamp or ISO text"
            ) from error
        if len(text) <= 10 and isinstance(value, datetime):
            raise ValueError("is a day, and must be a time: write milliseconds or a timestamp")
    if isinstance(value, datetime):
        aware = value.replace(tzinfo=UTC) if value.tzinfo is None else value
        return (aware - datetime(1970, 1, 1, tzinfo=UTC)) // _MS
    if isinstance(value, bool) or not isinstance(value, (int, float, Decimal)):
        raise ValueError("is not a time: write milliseconds, a timestamp or ISO text")
    if not math.isfinite(value):
        raise ValueError("is not a time: write milliseconds, a timestamp or ISO text")
    if unit := wrong_unit(float(value)):
        raise ValueError(unit)
    return math.floor(value)


def number_of(value: object) -> float:
    """A finite number; also of text, and 1 and 0 of true and false."""
    if isinstance(value, str):
        text = value.strip().lower()
        try:
            value = _FLAGS[text] if text in _FLAGS else float(text)
        except ValueError as error:
            raise ValueError("is not a number: write 0, 1 or another number") from error
    if isinstance(value, (bool, int, float, Decimal)) and math.isfinite(value):
        return float(value)
    raise ValueError("is not a finite number: write 0, 1 or another number")
