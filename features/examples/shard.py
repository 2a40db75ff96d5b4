"""The work on one shard: a user's events and interactions, or the interactions of a counter's key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints, integers, present, ranks, shards_of
from hemix.features.definition import Counter
from hemix.features.examples import sequences
from hemix.features.examples import shuffle_files as exchange
from hemix.features.examples.behaviors import Timeline
from hemix.features.examples.counter_columns import count_rows, counter_columns, key_of
from hemix.features.examples.log import ReadTask, read_rows
from hemix.features.examples.plan import Plan
from hemix.features.examples.shuffle_files import Reference

RANGES = ("global_start", "global_end", "realtime_start", "realtime_end")
ROW = "__row"
GROUP = "__key"
Key = tuple[str, int]
"""``users`` or ``counter-<number>``, and the shard."""


@dataclass(frozen=True)
class Scatter:
    """Read rows and send them to the shards of their user and of their counter keys."""

    plan: Plan

    def __call__(self, task: ReadTask) -> Iterator[tuple[tuple[str, int], tuple[str, Reference]]]:
        plan = self.plan
        table = read_rows(task, plan.schema(task.table))
        if task.table == "interactions":
            row = pa.array(np.arange(task.first_row, task.first_row + task.rows))
            table = table.append_column(ROW, row)
            for number, counter in enumerate(plan.definition.counters):
                if counter.key != "user_id":
                    yield from self._counter(table, number, counter)
        parts = shards_of(table["user_id"], plan.shards)
        for shard, reference in exchange.scatter(plan.scratch, table, parts):
            yield ("users", shard), (task.table, reference)

    def _counter(
        self, table: pa.Table, number: int, counter: Counter
    ) -> Iterator[tuple[tuple[str, int], tuple[str, Reference]]]:
        plan = self.plan
        key = key_of(plan, counter, table)
        narrow = table.select([ROW, *counter_columns(plan, counter)]).append_column(GROUP, key)
        narrow = narrow.filter(pa.array(present(key)))
        parts = shards_of(narrow[GROUP], plan.shards)
        for shard, reference in exchange.scatter(plan.scratch, narrow, parts):
            yield (f"counter-{number}", shard), ("interactions", reference)


@dataclass(frozen=True)
class BuildShard:
    """Sequences and counters of one shard, sent to the output slices of their interactions."""

    plan: Plan

    def __call__(
        self, group: tuple[Key, Iterable[tuple[str, Reference]]]
    ) -> Iterator[tuple[int, tuple[str, Reference, str]]]:
        (kind, _), values = group
        found = sorted(values)
        if kind == "users":
            yield from self._users(found)
        else:
            yield from self._counter(int(kind.removeprefix("counter-")), found)

    def _counter(
        self, number: int, found: Sequence[tuple[str, Reference]]
    ) -> Iterator[tuple[int, tuple[str, Reference, str]]]:
        plan = self.plan
        counter = plan.definition.counters[number]
        schema = exchange.read(plan.scratch, found[0][1]).schema
        table = exchange.read_all(plan.scratch, [reference for _, reference in found], schema)
        (groups,), _ = ranks([table[GROUP]])
        times = integers(table["event_time"])
        asked, numbers = groups, table[ROW]
        chosen = plan.chosen(times)
        if chosen is not None:
            asked, times, numbers = groups[chosen], times[chosen], numbers.take(pa.array(chosen))
        columns = count_rows(plan, counter, table, groups, asked, times)
        result = pa.table({ROW: numbers, **columns})
        slices = plan.slices(times)
        for part, reference in exchange.scatter(plan.scratch, result, slices):
            yield part, (f"counter-{number}", reference, "")

    def _users(
        self, found: Sequence[tuple[str, Reference]]
    ) -> Iterator[tuple[int, tuple[str, Reference, str]]]:
        plan = self.plan
        schema = plan.schema("interactions").append(pa.field(ROW, pa.int64()))
        pieces = [r for table, r in found if table == "interactions"]
        if not pieces:
            return
        rows = exchange.read_all(plan.scratch, pieces, schema)
        events = exchange.read_all(
            plan.scratch, [r for t, r in found if t == "behaviors"], plan.schema("behaviors")
        )
        (users, event_users), distinct = ranks([rows["user_id"], events["user_id"]])
        order = np.lexsort((integers(rows["event_time"]), users))
        rows, users = rows.take(pa.array(order)), users[order]
        times = integers(rows["event_time"])
        timeline = Timeline.of(plan, events, event_users, distinct)
        known = np.where(present(rows["user_id"]), users, -1)
        table, asked = rows, known
        chosen = plan.chosen(times)
        if chosen is not None:
            rows, users = rows.take(pa.array(chosen)), users[chosen]
            times, asked = times[chosen], known[chosen]
        ranges = sequences.cut(timeline.index, users, times, plan.definition.sequences)
        columns: dict[str, Ints] = {name: getattr(ranges, name) for name in RANGES}
        for counter in plan.definition.counters:
            if counter.key == "user_id":
                columns |= count_rows(plan, counter, table, known, asked, times)
        for name, values in columns.items():
            rows = rows.append_column(name, pa.array(values))
        ((name, _),) = exchange.write(plan.scratch, [timeline.events])
        for part, reference in exchange.scatter(plan.scratch, rows, plan.slices(times)):
            yield part, ("users", reference, name)
