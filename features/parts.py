"""Pieces of a definition that count: counters of past events, rates, and matches with the sequences."""

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


class Rate(Part):
    """How often one event follows another for a key, drawn towards the rate of wider keys where the
    key was seldom seen: ``(events + smoothing * parent's rate) / (per + smoothing)``.

    It is made of counters, so windows, delays and live events mean what they mean there; its
    evidence is the counter's own column of ``per``. It takes the place of the rate of the same name
    that the counter makes by itself.
    """

    key: str | tuple[str, str]
    """What the rate is of: the key of a counter."""
    event: str
    """What is looked for: a task (its label is 1), or an action of behaviours."""
    per: str = "impression"
    """Out of how many: impression, a task, or an action."""
    windows: tuple[str, ...] = ()
    """Windows of the counters, one rate each; empty: all windows of the key's counter."""
    parents: tuple[str | tuple[str, str], ...] = ()
    """Keys of other counters, nearest first, whose rates it is drawn towards in turn; the last one,
    or the rate itself where there is none, is drawn towards the training split's overall rate."""
    smoothing: float = Field(default=20.0, gt=0, allow_inf_nan=False)
    """How many of `per` the parent's rate counts for, at each step."""

    @property
    def keys(self) -> tuple[str | tuple[str, str], ...]:
        """The key and its parents, nearest first."""
        return (self.key, *self.parents)

    @property
    def prefix(self) -> str:
        return "_".join(map(stem, (self.key,) if isinstance(self.key, str) else self.key))

    @property
    def stem(self) -> str:
        """The beginning of its columns' names, e.g. ``item_click_rate`` or ``item_buy_per_click_rate``."""
        per = "" if self.per == "impression" else f"_per_{slug(self.per)}"
        return f"{self.prefix}_{slug(self.event)}{per}_rate"

    def column(self, window: str) -> str:
        """Name of the rate in a window, e.g. ``item_click_rate_7d``."""
        return f"{self.stem}_{window}"

    def counted(self, counter: Counter, tasks: tuple[str, ...]) -> tuple[Counted, Counted] | None:
        """What it takes from a counter: the events, and out of how many; None when it lacks one."""
        found = []
        for name in (self.event, self.per):
            action = name not in ("impression", *tasks)
            found += [
                one for one in counter.counted(tasks) if (one.name, one.action) == (name, action)
            ]
        return (found[0], found[1]) if len(found) == 2 else None

    def counters(
        self, counters: tuple[Counter, ...], tasks: tuple[str, ...]
    ) -> list[tuple[Counter, ...]]:
        """For the key and each parent, the counters that count both events."""
        return [
            tuple(c for c in counters if c.key == key and self.counted(c, tasks))
            for key in self.keys
        ]

    def windows_of(self, counters: tuple[Counter, ...], tasks: tuple[str, ...]) -> tuple[str, ...]:
        """Its windows: as declared, or all of the key's counters."""
        own = self.counters(counters, tasks)[0]
        return self.windows or tuple(dict.fromkeys(w for c in own for w in c.windows))

    def levels(
        self, counters: tuple[Counter, ...], tasks: tuple[str, ...], window: str
    ) -> tuple[tuple[str, str], ...]:
        """The columns that it is made of in a window: of the key and of each parent, events and ``per``."""
        found = []
        for fitting in self.counters(counters, tasks):
            counter = next(c for c in fitting if window in c.windows)
            counted = self.counted(counter, tasks)
            assert counted is not None
            found.append((counted[0].column(window), counted[1].column(window)))
        return tuple(found)


class Match(Part):
    """How many events of a sequence have the candidate's value, and how long ago the latest was."""

    column: str
    """What is compared: item_id, or one of sequences.columns."""
    sequences: tuple[Literal["global", "realtime"], ...] = ("global", "realtime")
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
