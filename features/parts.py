"""Pieces of a definition that count: counters of past events, and matches with the sequences."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from hemix.features.split import Part
from hemix.features.times import duration

PAIR_LAST = 500
"""How many of a user's most recent events a counter of a pair looks at, unless it says."""


def stem(name: str) -> str:
    """``item`` of ``item_id``: how a key is called in the names of its columns."""
    return name.removesuffix("_id")


def slug(action: str) -> str:
    """An action in the name of a column: ``add_to_cart`` of ``Add to cart``."""
    return re.sub(r"[^a-z0-9]+", "_", action.lower()).strip("_") or "x"


@dataclass(frozen=True, kw_only=True)
class Counted:
    """One thing that a counter counts: an event of the interactions, or an action of behaviours."""

    name: str
    action: bool
    stem: str

    def column(self, window: str) -> str:
        """Name of the count in a window, e.g. ``author_click_1d``."""
        return f"{self.stem}_{window}"

    @property
    def since(self) -> str:
        """Name of the column with the seconds since the last one, e.g. ``item_click_since``."""
        return f"{self.stem}_since"

    @property
    def last_ms(self) -> str:
        """Name under which the store holds when the last one was."""
        return f"{self.stem}_last_ms"


class Counter(Part):
    """Counts of past events that share a key with the interaction, and when the last one was."""

    key: str | tuple[str, str]
    """What they share: user_id, item_id or an item attribute; or a pair, [user_id, item_id],
    [user_id, an item attribute] or [user_id, a field of the interactions]."""
    events: tuple[str, ...] = ()
    """What is counted of the interactions: impression (all of them), or a task whose label is 1;
    empty: impressions and every task, unless there are actions."""
    actions: tuple[str, ...] = Field(default=(), exclude_if=lambda value: not value)
    """What is counted of the behaviours: actions. Events whose time is only a bound do not count."""
    windows: tuple[str, ...] = ("1h", "1d", "ever")
    """Lengths of time back from the interaction, such as 1h and 7d, or ever."""
    since_last: bool = Field(default=False, exclude_if=lambda value: not value)
    """Also the seconds since the last one."""
    last: int = Field(
        default=PAIR_LAST, ge=1, le=10_000, exclude_if=lambda value: value == PAIR_LAST
    )
    """A pair is looked for in this many of the user's most recent interactions (behaviours for
    actions), and in those of the same instant as the oldest of them."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The key's parts."""
        return (self.key,) if isinstance(self.key, str) else self.key

    @property
    def is_pair(self) -> bool:
        return len(self.keys) > 1

    @property
    def by_user(self) -> bool:
        """True when a user's own events are all that it needs."""
        return self.keys[0] == "user_id"

    @property
    def prefix(self) -> str:
        return "_".join(map(stem, self.keys))

    def column(self, event: str, window: str) -> str:
        """Name of the count of an event of the interactions, e.g. ``author_click_1d``."""
        return f"{self.prefix}_{event}_{window}"

    def event_names(self, tasks: tuple[str, ...]) -> tuple[str, ...]:
        """The counted events of the interactions."""
        return self.events or (() if self.actions else ("impression", *tasks))

    def counted(self, tasks: tuple[str, ...]) -> tuple[Counted, ...]:
        """All that it counts, in the order of its columns."""
        events = [
            Counted(name=event, action=False, stem=f"{self.prefix}_{event}")
            for event in self.event_names(tasks)
        ]
        actions = [
            Counted(name=action, action=True, stem=f"{self.prefix}_action_{slug(action)}")
            for action in self.actions
        ]
        return (*events, *actions)

    def columns(self, tasks: tuple[str, ...]) -> Iterator[str]:
        """Names of its columns: the counts, then the times since the last ones."""
        counted = self.counted(tasks)
        for one in counted:
            yield from (one.column(window) for window in self.windows)
        if self.since_last:
            yield from (one.since for one in counted)

    @staticmethod
    def window_seconds(window: str) -> int | None:
        """Length of a window in seconds; None for ``ever``."""
        found = None if window == "ever" else duration(window)
        return found if isinstance(found, int) else None


class Match(Part):
    """How many events of a sequence have the candidate's value, and how long ago the latest was."""

    column: str
    """What is compared: item_id, or one of sequences.columns."""
    sequences: tuple[Literal["global", "realtime"], ...] = Field(
        default=("global", "realtime"), min_length=1
    )
    """Which sequences are looked at, each by itself."""
    last: tuple[Annotated[int, Field(ge=1, le=10_000)], ...] = ()
    """Also count among the last 1, 5, ... events of the sequence."""

    def count(self, sequence: str, last: int | None = None) -> str:
        """Name of a count, e.g. ``realtime_same_item`` or ``global_same_author_last_5``."""
        name = f"{sequence}_same_{stem(self.column)}"
        return name if last is None else f"{name}_last_{last}"

    def since(self, sequence: str) -> str:
        """Name of the column with the seconds since the latest match (-1: none, or not known)."""
        return f"{self.count(sequence)}_since"

    @property
    def columns(self) -> Iterator[str]:
        """Names of its columns."""
        for sequence in self.sequences:
            yield self.count(sequence)
            yield from (self.count(sequence, last) for last in self.last)
            yield self.since(sequence)
