"""Facts about a log for people: what was read, what was dropped, what is in it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import polars as pl

from hemix.components.ingest.lateness import Lateness
from hemix.components.ingest.repeats import Repeats
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import label_column

TABLES = ("interactions", "behaviors", "users", "items")


def iso(ms: int) -> str:
    """Epoch milliseconds as ISO 8601 text in UTC, with milliseconds."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds")


@dataclass
class FactSummary:
    """Counts of one fact table, gathered a day at a time."""

    rows: int = 0
    days: dict[str, int] = field(default_factory=dict)
    first_ms: int | None = None
    last_ms: int | None = None
    ids: dict[str, pl.DataFrame] = field(default_factory=dict)

    def add(self, day: str, frame: pl.DataFrame) -> None:
        self.rows += frame.height
        self.days[day] = frame.height
        first, last = int(frame["event_time"].min()), int(frame["event_time"].max())
        self.first_ms = first if self.first_ms is None else min(self.first_ms, first)
        self.last_ms = last if self.last_ms is None else max(self.last_ms, last)
        for name in ("user_id", "item_id"):
            seen = frame.select(name).unique()
            self.ids[name] = (
                pl.concat([self.ids[name], seen]).unique() if name in self.ids else seen
            )

    def count(self, name: str) -> int:
        return self.ids[name].height if name in self.ids else 0

    def look_alikes(self, name: str) -> list[tuple[str, str]]:
        """Pairs of text ids that differ only in blanks, case, leading zeros or Unicode form."""
        if name not in self.ids or self.ids[name].schema[name] != pl.String:
            return []
        plain = pl.col(name).str.strip_chars().str.normalize("NFKC").str.to_lowercase()
        form = plain.str.replace(r"^0+(.)", "$1").alias("form")
        groups = self.ids[name].select(name, form).sort(name).group_by("form", maintain_order=True)
        same = groups.agg(pl.col(name)).filter(pl.col(name).list.len() > 1)[name].to_list()
        return [(group[0], other) for group in same for other in group[1:]]

    def time_range(self) -> list[str] | None:
        if self.first_ms is None or self.last_ms is None:
            return None
        return [iso(self.first_ms), iso(self.last_ms)]


class LabelSummary:
    """Rows, users and label rates in all and by split."""

    def __init__(self, definition: DatasetDefinition) -> None:
        self._tasks = definition.tasks
        self._windows = {
            name: (int(w.start.timestamp() * 1000), int(w.end.timestamp() * 1000))
            for name, w in definition.split.windows().items()
        }
        self._rows: Counter[str] = Counter()
        self._positive: Counter[tuple[str, str]] = Counter()

    def add(self, frame: pl.DataFrame) -> None:
        self._count("all", frame)
        time = pl.col("event_time")
        for name, (start, end) in self._windows.items():
            self._count(name, frame.filter((time >= start) & (time < end)))

    def _count(self, split: str, frame: pl.DataFrame) -> None:
        self._rows[split] += frame.height
        for task in self._tasks:
            self._positive[split, task] += int(frame[label_column(task)].sum())

    def rates(self, split: str) -> dict[str, float | None]:
        rows = self._rows[split]
        return {t: self._positive[split, t] / rows if rows else None for t in self._tasks}

    def to_json(self) -> dict[str, Any]:
        return {
            name: {
                "start": iso(start),
                "end": iso(end),
                "rows": self._rows[name],
                "label_rates": self.rates(name),
            }
            for name, (start, end) in self._windows.items()
        }


def summary_of(
    *,
    read: dict[str, int],
    written: dict[str, int],
    derived: int,
    repeats: dict[str, Repeats],
    facts: dict[str, FactSummary],
    labels: LabelSummary,
    actions: dict[str, int],
    inexact: int,
    late: dict[str, Lateness],
) -> dict[str, Any]:
    """The contents of ``summary.json``.

    Args:
        read: rows read, by table.
        written: rows written, by table.
        derived: behaviours made from interactions.
        repeats: exact repeats that were dropped and conflicts, by table.
        facts: time range and counts of interactions and behaviours.
        labels: rate of each label.
        actions: behaviours by action.
        inexact: behaviours whose time is only an upper bound.
        late: when interactions and behaviours became known.
    """
    interactions, behaviors = facts["interactions"], facts["behaviors"]
    return {
        "rows_read": {table: read.get(table, 0) for table in TABLES},
        "rows": {table: written.get(table, 0) for table in TABLES},
        "exact_repeats_dropped": {table: repeats[table].exact for table in TABLES},
        "conflicts": {table: repeats[table].conflicts for table in TABLES},
        "look_alikes": {
            name: len(interactions.look_alikes(name)) for name in ("user_id", "item_id")
        },
        "users": interactions.count("user_id"),
        "items": interactions.count("item_id"),
        "users_with_behaviors": behaviors.count("user_id"),
        "time_range": {name: facts[name].time_range() for name in facts},
        "days": dict(interactions.days),
        "label_rates": labels.rates("all"),
        "splits": labels.to_json(),
        "behaviors_derived_from_interactions": derived,
        "behaviors_with_inexact_time": inexact,
        "actions": dict(sorted(actions.items())),
        "known_late": {table: found.to_json() for table, found in late.items() if found.rows},
    }
