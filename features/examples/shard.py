"""The work on one shard: a user's events and interactions, or the interactions of a counter's key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints, integers, present, ranks, shards_of
from hemix.features.counting.counts import Asked
from hemix.features.examples import sequences
from hemix.features.examples import shuffle_files as exchange
from hemix.features.examples.behaviors import Timeline
from hemix.features.examples.counter_columns import (
    EVENT,
    Counting,
    count_rows,
    counted_actions,
    counter_columns,
    counter_names,
    key_of,
    once_each,
)
from hemix.features.examples.log import ReadTask, read_rows
from hemix.features.examples.plan import Plan
from hemix.features.examples.shuffle_files import Reference
from hemix.features.examples.user_counters import user_counters
from hemix.features.parts import Counter

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
            if not counter.by_user:
                yield from self._counter(table, task.table, number, counter)
        parts = shards_of(table["user_id"], plan.shards)
        for shard, reference in exchange.scatter(plan.scratch, table, parts):
            yield ("users", shard), (task.table, reference)

    def _counter(
        self, table: pa.Table, name: str, number: int, counter: Counter
    ) -> Iterator[tuple[tuple[str, int], tuple[str, Reference]]]:
        plan = self.plan
        columns = [ROW, *counter_columns(plan, counter)]
        if name == "behaviors":
            if not counter.actions:
                return
            table, columns = counted_actions(counter, table), list(EVENT)
        key = key_of(plan, counter, table)
        narrow = table.select(columns).append_column(GROUP, key)
        narrow = narrow.filter(pa.array(present(key)))
        parts = shards_of(narrow[GROUP], plan.shards)
        for shard, reference in exchange.scatter(plan.scratch, narrow, parts):
            yield (f"counter-{number}", shard), (name, reference)


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
        tables = {name: self._table(found, name) for name in ("interactions", "behaviors")}
        table, behaviors = tables["interactions"], tables["behaviors"]
        if table is None:
            return
        if behaviors is not None:
            behaviors = once_each(behaviors, (*EVENT, GROUP))
            (groups, acting), _ = ranks([table[GROUP], behaviors[GROUP]])
        else:
            (groups,), _ = ranks([table[GROUP]])
        times = integers(table["event_time"])
        asked, numbers = groups, table[ROW]
        chosen = plan.chosen(times)
        if chosen is not None:
            asked, times, numbers = groups[chosen], times[chosen], numbers.take(pa.array(chosen))
        question = Asked(groups=asked, times=times)
        events, actions = Counting.of(plan.definition, counter)
        columns = events.columns(count_rows(plan, events, table, groups, question), times)
        if behaviors is not None:
            counts = count_rows(plan, actions, behaviors, acting, question)
            columns |= actions.columns(counts, times)
        else:
            columns |= actions.nothing(len(asked))
        names = counter_names(plan.definition, counter)
        result = pa.table({ROW: numbers, **{name: columns[name] for name in names}})
        slices = plan.slices(times)
        for part, reference in exchange.scatter(plan.scratch, result, slices):
            yield part, (f"counter-{number}", reference, "")

    def _table(self, found: Sequence[tuple[str, Reference]], name: str) -> pa.Table | None:
        """The rows of one table; None when this shard has none."""
        references = [reference for table, reference in found if table == name]
        if not references:
            return None
        schema = exchange.read(self.plan.scratch, references[0]).schema
        return exchange.read_all(self.plan.scratch, references, schema)

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
        question = Asked(groups=asked, times=times)
        columns |= user_counters(plan, table, known, timeline, question, chosen)
        for name, values in columns.items():
            rows = rows.append_column(name, pa.array(values))
        ((name, _),) = exchange.write(plan.scratch, [timeline.events])
        for part, reference in exchange.scatter(plan.scratch, rows, plan.slices(times)):
            yield part, ("users", reference, name)
