"""What must hold between the rates of a definition and its counters."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from hemix.texts.plain_yaml import Fault

if TYPE_CHECKING:
    from hemix.features.definition import DatasetDefinition
    from hemix.features.rates.rate import Rate


def rate_faults(definition: DatasetDefinition, actions: set[str] | None) -> Iterator[Fault]:
    """All faults of the rates.

    Args:
        definition: the data set definition.
        actions: all actions of behaviours; None where the log's own column names them.
    """
    for index, rate in enumerate(definition.rates):
        unknown = list(_events(definition, rate, index, actions))
        yield from unknown or _levels(definition, rate, index)


def _events(
    definition: DatasetDefinition, rate: Rate, index: int, actions: set[str] | None
) -> Iterator[Fault]:
    tasks = definition.tasks
    for name in ("event", "per"):
        value: str = getattr(rate, name)
        known = {*tasks, *(actions or ()), *(("impression",) if name == "per" else ())}
        if value == "impression" and name == "event":
            yield _fault(
                "impressions are what a rate is out of: name a task or an action", index, name
            )
        elif value not in known and actions is not None:
            yield _fault(
                f"{value!r} is neither a task nor an action; known: {', '.join(sorted(known))}",
                index,
                name,
            )
    if rate.event == rate.per:
        yield _fault(f"{rate.event!r} per {rate.per!r} is always 1", index, "per")
    for key in sorted({str(k) for k in rate.keys if rate.keys.count(k) > 1}):
        yield _fault(f"{key} is the key or a parent already", index, "parents")


def _levels(definition: DatasetDefinition, rate: Rate, index: int) -> Iterator[Fault]:
    """Each level needs one counter with both events in every window."""
    tasks = definition.tasks
    levels = rate.counters(definition.counters, tasks)
    windows = rate.windows_of(definition.counters, tasks)
    both = f"{rate.event} and {rate.per}"
    for place, (key, counters) in enumerate(zip(rate.keys, levels, strict=True)):
        named = key if isinstance(key, str) else f"[{', '.join(key)}]"
        part = "parents" if place else "key"
        if not counters:
            yield _fault(
                f"no counter of {named} counts both {both}; {_mend(rate, key, definition)}",
                index,
                part,
            )
            continue
        counted = {window for counter in counters for window in counter.windows}
        for window in windows:
            if window not in counted:
                yield _fault(
                    f"no counter of {named} counts {both} in {window!r}; add it to that counter's "
                    f"windows, or take one of {', '.join(sorted(counted))}",
                    index,
                    "windows" if rate.windows or not place else part,
                )


def _mend(rate: Rate, key: str | tuple[str, str], definition: DatasetDefinition) -> str:
    """The line to add to counters."""
    tasks = ("impression", *definition.tasks)
    named = key if isinstance(key, str) else f"[{', '.join(key)}]"
    parts = [f"key: {named}"]
    for list_of, names in (
        ("events", [n for n in (rate.event, rate.per) if n in tasks]),
        ("actions", [n for n in (rate.event, rate.per) if n not in tasks]),
    ):
        if names:
            parts.append(f"{list_of}: [{', '.join(names)}]")
    if rate.windows:
        parts.append(f"windows: [{', '.join(rate.windows)}]")
    return f"add {{{', '.join(parts)}}} to counters"


def _fault(message: str, index: int, key: str) -> Fault:
    return Fault(place=("rates", index, key), message=message)
