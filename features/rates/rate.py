"""A rate of a definition: how often one event follows another, as a feature made of counters."""

from __future__ import annotations

from pydantic import Field

from hemix.features.parts import Counted, Counter, slug, stem
from hemix.features.split import Part


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
