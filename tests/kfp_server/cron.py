"""Cron as KFP reads it (github.com/robfig/cron v1): six fields, seconds first; the last optional.

With five fields the day of the week is left out, so that an ordinary five-field cron is read one
place off: ``0 3 * * 1`` fires in January, every day, each hour at minute 3. Also ``@daily`` and the
like, and ``@every``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from tests.kfp_server.swagger import Refused

_RANGES = ((0, 59), (0, 59), (0, 23), (1, 31), (1, 12), (0, 6))
_MONTHS = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"]
_DAYS = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"]
_NAMES: tuple[dict[str, int], ...] = (
    {},
    {},
    {},
    {},
    {name: number for number, name in enumerate(_MONTHS, start=1)},
    {name: number for number, name in enumerate(_DAYS)},
)
_DESCRIPTORS = {
    "@yearly": "0 0 0 1 1 *",
    "@annually": "0 0 0 1 1 *",
    "@monthly": "0 0 0 1 * *",
    "@weekly": "0 0 0 * * 0",
    "@daily": "0 0 0 * * *",
    "@midnight": "0 0 0 * * *",
    "@hourly": "0 0 * * * *",
}
_UNITS = {"h": 3600, "m": 60, "s": 1}
_YEARS = 5


@dataclass(frozen=True)
class Cron:
    """The allowed values of each field; ``every`` stands for ``@every``."""

    fields: tuple[frozenset[int], ...] = ()
    stars: tuple[bool, ...] = ()
    every: timedelta | None = None

    def next(self, after: datetime) -> datetime | None:
        """The first firing after ``after`` (UTC), or None within the next five years."""
        if self.every is not None:
            return after.replace(microsecond=0) + self.every
        seconds, minutes, hours = (sorted(field) for field in self.fields[:3])
        start = after.replace(microsecond=0) + timedelta(seconds=1)
        day = start.replace(hour=0, minute=0, second=0)
        for _ in range(366 * _YEARS):
            if self._on(day):
                for hour in hours:
                    for minute in minutes:
                        for second in seconds:
                            moment = day.replace(hour=hour, minute=minute, second=second)
                            if moment >= start:
                                return moment
            day += timedelta(days=1)
        return None

    def _on(self, day: datetime) -> bool:
        _, _, _, dates, months, weekdays = self.fields
        on_date = day.day in dates
        on_weekday = (day.weekday() + 1) % 7 in weekdays
        # Both named: either will do. One of them a star: the other decides.
        either = not (self.stars[3] or self.stars[5])
        return day.month in months and (on_date or on_weekday if either else on_date and on_weekday)


def parse(text: str) -> Cron:
    """Read a schedule as the server does; Refused with the server's words when it cannot."""
    try:
        return _parse(text.strip())
    except ValueError as error:
        raise Refused(
            400,
            "Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron). "
            f"Error: {error}",
        ) from error


def _parse(text: str) -> Cron:
    if text.startswith("@every "):
        parts = re.findall(r"(\d+)([hms])", text[7:])
        if not parts or "".join(a + b for a, b in parts) != text[7:]:
            raise ValueError(f"Failed to parse duration {text}")
        return Cron(every=timedelta(seconds=sum(int(n) * _UNITS[u] for n, u in parts)))
    if text.startswith("@"):
        if text not in _DESCRIPTORS:
            raise ValueError(f"Unrecognized descriptor: {text}")
        text = _DESCRIPTORS[text]
    parts = text.split()
    if len(parts) == 5:
        parts.append("*")
    if len(parts) != 6:
        raise ValueError(f"Expected 5 to 6 fields, found {len(parts)}: {text}")
    fields = tuple(_field(part, i) for i, part in enumerate(parts))
    return Cron(fields, tuple(part[0] in "*?" for part in parts))


def _field(text: str, place: int) -> frozenset[int]:
    low, high = _RANGES[place]
    found: set[int] = set()
    for part in text.split(","):
        span, slash, step_text = part.partition("/")
        step = int(step_text) if slash else 1
        if span in ("*", "?"):
            first, last = low, high
        else:
            a, dash, b = span.partition("-")
            first = _number(a, place)
            last = _number(b, place) if dash else (high if slash else first)
        if first < low or last > high or first > last or step < 1:
            raise ValueError(f"({part}) is outside of {low} to {high}")
        found.update(range(first, last + 1, step))
    return frozenset(found)


def _number(text: str, place: int) -> int:
    return _NAMES[place].get(text.lower(), -1) if not text.isdigit() else int(text)
