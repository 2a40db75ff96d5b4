"""The counters of a definition, as columns of its interactions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hemix.features.arrays.dense_ranks import Bools, Ints, flat, integers
from hemix.features.counting.counts import Asked, Counts, Events, count, since_seconds
from hemix.features.definition import DatasetDefinition
from hemix.features.examples.log import Log
from hemix.features.parts import Counted, Counter
from hemix.features.schema import label_column

EVENT = ("user_id", "item_id", "event_time", "action")
"""What makes a behaviour with an exact time one event: repeats of these count once."""


@dataclass(frozen=True, kw_only=True)
class Counting:
    """A counter, and those of what it counts that one table holds."""

    counter: Counter
    counted: tuple[Counted, ...]

    @staticmethod
    def of(definition: DatasetDefinition, counter: Counter) -> tuple[Counting, Counting]:
        """The part that counts interactions, and the part that counts behaviours."""
        counted = counter.counted(definition.tasks)
        events = tuple(one for one in counted if not one.action)
        actions = tuple(one for one in counted if one.action)
        return (
            Counting(counter=counter, counted=events),
            Counting(counter=counter, counted=actions),
        )

    def flags(self, table: pa.Table) -> dict[str, Bools | None]:
        """Which rows of its table each thing that it counts is."""
        found: dict[str, Bools | None] = {}
        for one in self.counted:
            if one.action:
                same = pc.equal(flat(table["action"]), one.name)
                found[one.name] = same.to_numpy(zero_copy_only=False)
            elif one.name == "impression":
                found[one.name] = None
            else:
                found[one.name] = flat(table[label_column(one.name)]).to_numpy() == 1
        return found

    def columns(self, found: Counts, times: Ints) -> dict[str, Ints]:
        """Columns of the examples at ``times``."""
        columns = self._counts(found)
        if self.counter.since_last:
            for one in self.counted:
                columns[one.since] = since_seconds(found.last_ms[one.name], times)
        return columns

    def state(self, found: Counts) -> dict[str, Ints]:
        """Columns of the state of an instant: the last event's time, and not how long ago it was."""
        columns = self._counts(found)
        if self.counter.since_last:
            columns |= {one.last_ms: found.last_ms[one.name] for one in self.counted}
        return columns

    def nothing(self, rows: int) -> dict[str, Ints]:
        """Its columns where its table holds no row."""
        counts = [one.column(w) for one in self.counted for w in self.counter.windows]
        since = [one.since for one in self.counted if self.counter.since_last]
        return {n: np.full(rows, default_of(n), np.int64) for n in (*counts, *since)}

    def _counts(self, found: Counts) -> dict[str, Ints]:
        return {
            one.column(window): found.counts[one.name, window]
            for one in self.counted
            for window in self.counter.windows
        }


def counter_names(definition: DatasetDefinition, counter: Counter) -> list[str]:
    """The columns of a counter."""
    return list(counter.columns(definition.tasks))


def default_of(name: str) -> int:
    """What a counter's column holds where nothing was counted."""
    return -1 if name.endswith("_since") else 0


def key_of(log: Log, counter: Counter, table: pa.Table) -> pa.Array:
    """The key ``[rows]`` of a counter that is no pair."""
    return key_column(log, counter.keys[0], table)


def key_column(log: Log, key: str, table: pa.Table) -> pa.Array:
    """A key ``[rows]``: an id, a column of the row, or the item's attribute as of the row."""
    if key in ("user_id", "item_id", *log.definition.context_columns):
        return flat(table[key])
    rows = log.items.rows(table["item_id"], integers(table["event_time"]))
    return log.items.take(key, rows)


def counter_columns(log: Log, counter: Counter) -> list[str]:
    """Columns of the interactions that a counter's shard needs beside the key."""
    events = log.definition.counter_events(counter)
    return ["event_time", *(label_column(e) for e in events if e != "impression")]


def counted_actions(counter: Counter, behaviors: pa.Table) -> pa.Table:
    """The behaviours that a counter may count: of its actions, and with an exact time."""
    wanted = pc.is_in(behaviors["action"], value_set=pa.array(counter.actions, pa.string()))
    return behaviors.filter(pc.and_(wanted, behaviors["time_exact"]))


def once_each(table: pa.Table, columns: Sequence[str] = EVENT) -> pa.Table:
    """Each event once."""
    return table.group_by(list(columns)).aggregate([])


def count_rows(log: Log, counting: Counting, table: pa.Table, groups: Ints, asked: Asked) -> Counts:
    """Count a table of interactions or of behaviours.

    Args:
        log: definition, types and the items' dimension.
        counting: what is counted, and in which windows.
        table: the events ``[rows]``.
        groups: int64 ``[rows]``, the group of their key; -1 when missing.
        asked: groups and times ``[queries]``.
    """
    if not counting.counted:
        return Counts(counts={}, last_ms={})
    return count(
        Events(groups=groups, times=integers(table["event_time"]), flags=counting.flags(table)),
        asked,
        windows=counting.counter.windows,
        delay_ms=log.delay_ms,
    )
