"""The days of a backfill."""

from __future__ import annotations

from datetime import date, timedelta

from hemix.errors import DefinitionError

MOST = 1000
"""Days in one backfill: each is a pod."""


def parse_day(text: str, what: str) -> date:
    """A UTC day written YYYY-MM-DD.

    Raises:
        DefinitionError: it is not; the message names ``what``.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise DefinitionError(
            f"{what} {text!r} is not a day.", hint="Write YYYY-MM-DD, for example 2022-04-25."
        ) from error


def days_between(first: str, last: str) -> list[str]:
    """Every day from ``first`` to ``last``, both included, oldest first.

    Raises:
        DefinitionError: one is not a day, they are in the wrong order, or too many.
    """
    start, end = parse_day(first, "first day"), parse_day(last, "last day")
    count = (end - start).days + 1
    if count < 1:
        raise DefinitionError(f"The last day {last} is before the first day {first}.")
    if count > MOST:
        raise DefinitionError(
            f"{first} to {last} are {count} days; one backfill takes {MOST}.",
            hint="Backfill in several ranges: partitions do not depend on each other.",
        )
    return [str(start + timedelta(days=number)) for number in range(count)]
