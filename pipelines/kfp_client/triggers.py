"""When a schedule fires: a cron expression as KFP reads it, or an interval. Times are UTC.

KFP's cron has six fields, seconds first. A usual one of five fields it would take too, and read one
place off, so the seconds are added here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

from hemix.errors import DefinitionError

_FIELDS = ("seconds", "minutes", "hours", "day of month", "month", "day of week")
_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_NAMES: tuple[tuple[str, ...], ...] = (
    (),
    (),
    (),
    (),
    ("", "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"),
    ("sun", "mon", "tue", "wed", "thu", "fri", "sat"),
)
_ALIASES = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_HINT = 'For example --cron "0 3 * * *": every day at 03:00 UTC.'


@dataclass(frozen=True, kw_only=True)
class Trigger:
    """``cron`` (six fields) or ``interval_s`` seconds, between ``start`` and ``end``."""

    cron: str = ""
    interval_s: int = 0
    start: datetime | None = None
    end: datetime | None = None

    def __post_init__(self) -> None:
        if bool(self.cron) == bool(self.interval_s):
            raise DefinitionError("A schedule has either --cron or --every.", hint=_HINT)
        if self.start and self.end and self.end <= self.start:
            raise DefinitionError(
                f"--end {text(self.end)} is not after --start {text(self.start)}."
            )

    @property
    def longest_gap_s(self) -> int:
        """The longest time between two firings, in seconds; of a cron expression within two years."""
        return self.interval_s or _longest_gap(self.cron)

    def told(self) -> str:
        """For people."""
        return self.cron or f"every {duration(self.interval_s)}"


def cron(expression: str) -> str:
    """The expression with six fields, checked.

    Raises:
        DefinitionError: it cannot be read; names the field.
    """
    expression = " ".join(expression.split())
    if expression in _ALIASES:
        return expression
    fields = expression.split(" ")
    if len(fields) == 5:
        fields = ["0", *fields]
    if len(fields) != 6:
        raise DefinitionError(
            f"--cron {expression!r} has {len(fields)} fields, not 5, or 6 with seconds first.",
            hint=_HINT,
        )
    for place, field in enumerate(fields):
        for part in field.split(","):
            _check(expression, place, part)
    return " ".join(fields)


def seconds(expression: str, option: str) -> int:
    """``90s``, ``30m``, ``6h``, ``1d`` in seconds.

    Raises:
        DefinitionError: it is none of these, or nothing at all.
    """
    match = re.fullmatch(r"(\d+)\s*([smhd])", expression.strip())
    value = int(match[1]) * _UNITS[match[2]] if match else 0
    if value < 1:
        raise DefinitionError(
            f"{option} {expression!r} is not a length of time.", hint="For example 30m, 6h, 1d."
        )
    return value


def moment(expression: str, option: str) -> datetime:
    """An ISO 8601 time; UTC when it names no zone.

    Raises:
        DefinitionError: it is not one.
    """
    try:
        found = datetime.fromisoformat(expression)
    except ValueError as error:
        raise DefinitionError(
            f"{option} {expression!r} is not a time.", hint="Write 2022-05-01T02:00:00, in UTC."
        ) from error
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def text(time: datetime) -> str:
    """RFC 3339 in UTC, whole seconds."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def duration(interval_s: int) -> str:
    """Seconds in the largest unit that divides them."""
    unit = next(name for name in ("d", "h", "m", "s") if interval_s % _UNITS[name] == 0)
    return f"{interval_s // _UNITS[unit]}{unit}"


def trigger_of(told: Any) -> Trigger:
    """Read the trigger of a recurring run that the API answered."""
    schedule = told.cron_schedule or told.periodic_schedule
    return Trigger(
        cron=told.cron_schedule.cron if told.cron_schedule else "",
        interval_s=int(told.periodic_schedule.interval_second) if told.periodic_schedule else 0,
        start=schedule.start_time and schedule.start_time.astimezone(UTC),
        end=schedule.end_time and schedule.end_time.astimezone(UTC),
    )


def _check(expression: str, place: int, part: str) -> None:
    low, high = _RANGES[place]
    span, slash, step = part.partition("/")
    first, dash, last = span.partition("-")
    wrong = bool(slash) and (not step.isdigit() or int(step) < 1)
    if span not in ("*", "?"):
        ends = [_number(place, first), _number(place, last) if dash else high]
        wrong = wrong or None in ends or not low <= (ends[0] or 0) <= (ends[1] or 0) <= high
    if wrong:
        raise DefinitionError(
            f"--cron {expression!r}: {part!r} is not a value of the field {_FIELDS[place]} "
            f"({low} to {high}).",
            hint=_HINT,
        )


def _number(place: int, part: str) -> int | None:
    if part.isdigit():
        return int(part)
    names = _NAMES[place]
    return names.index(part.lower()) if part and part.lower() in names else None


def _longest_gap(expression: str) -> int:
    fields = _ALIASES.get(expression, expression).split(" ")
    allowed = [_values(field, place) for place, field in enumerate(fields)]
    seconds_of_day = [
        hour * 3600 + minute * 60 + second
        for hour in sorted(allowed[2])
        for minute in sorted(allowed[1])
        for second in sorted(allowed[0])
    ]
    any_day, any_weekday = (fields[place][0] in "*?" for place in (3, 5))
    first = date(2024, 1, 1)  # a leap year, so that 29 February is among the days
    days = []
    for number in range(800):
        day = first + timedelta(days=number)
        by_day, by_weekday = day.day in allowed[3], day.isoweekday() % 7 in allowed[5]
        either = not (any_day or any_weekday)  # cron's rule when both are said
        fits = by_day or by_weekday if either else by_day and by_weekday
        if fits and day.month in allowed[4]:
            days.append(number * 86_400)
    within = [b - a for a, b in pairwise(seconds_of_day)]
    over = [b - a - seconds_of_day[-1] + seconds_of_day[0] for a, b in pairwise(days)]
    return max([*within, *over], default=800 * 86_400)


def _values(field: str, place: int) -> set[int]:
    low, high = _RANGES[place]
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        first, dash, last = span.partition("-")
        start = low if span in ("*", "?") else _number(place, first) or 0
        end = (
            (_number(place, last) or 0) if dash else high if slash or span in ("*", "?") else start
        )
        found |= set(range(start, end + 1, int(step) if slash else 1))
    return found
