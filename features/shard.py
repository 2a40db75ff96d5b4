"""The work on one shard: a user's events and interactions, or the interactions of a counter's key."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from features import counters, exchange, sequences
from features.definition import Counter
from features.exchange import Reference
from features.keys import Ints, flat, integers, present, ranks, shards_of
from features.plan import Plan, ReadTask, read_rows
from features.schema import label_column
from features.timeline import TimeIndex, order_behaviors

RANGES = ("global_start", "global_end", "realtime_start", "realtime_end")
ROW = "__row"
GROUP = "__key"
INEXACT_TIME = -(2**63)
"""Stands for the time of an event whose time is only a bound, in a shard's sorted events."""

Key = tuple[str, int]
"""What a group holds (``behaviors``, ``interactions`` or a counter's number) and its shard."""


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
        narrow = table.select(counter_columns(plan, counter)).append_column(GROUP, key)
        narrow = narrow.filter(pa.array(present(key)))
        parts = shards_of(narrow[GROUP], plan.shards)
        for shard, reference in exchange.scatter(plan.scratch, narrow, parts):
            yield (f"counter-{number}", shard), ("interactions", reference)


def key_of(plan: Plan, counter: Counter, table: pa.Table) -> pa.Array:
    """The key ``[rows]`` of a counter: an id, or the item's attribute as of the interaction."""
    if counter.key in ("user_id", "item_id"):
        return flat(table[counter.key])
    rows = plan.items.rows(table["item_id"], integers(table["event_time"]))
    return plan.items.take(counter.key, rows)


def counter_columns(plan: Plan, counter: Counter) -> list[str]:
    """Columns of the interactions that a counter's shard needs beside the key."""
    events = plan.definition.counter_events(counter)
    return ["event_time", ROW, *(label_column(e) for e in events if e != "impression")]


def count_rows(plan: Plan, counter: Counter, groups: Ints, table: pa.Table) -> dict[str, Ints]:
    """The counter's columns ``[rows]`` for a table of interactions with key ``groups``."""
    events = plan.definition.counter_events(counter)
    times = integers(table["event_time"])
    found = counters.count(
        groups=groups,
        times=times,
        labels={e: flat(table[label_column(e)]).to_numpy() for e in events if e != "impression"},
        query_groups=groups,
        query_times=times,
        events=events,
        windows=counter.windows,
        delay_ms=plan.definition.sequences.availability_delay * 1000,
    )
    return {counter.column(e, w): found[e, w] for e in events for w in counter.windows}


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
        columns = count_rows(plan, counter, groups, table)
        result = pa.table({ROW: table[ROW], **columns})
        slices = plan.slices(integers(table["event_time"]))
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
        ranges = sequences.cut(timeline.index, users, times, plan.definition.sequences)
        columns: dict[str, Ints] = {name: getattr(ranges, name) for name in RANGES}
        for counter in plan.definition.counters:
            if counter.key == "user_id":
                columns |= count_rows(plan, counter, users, rows)
        for name, values in columns.items():
            rows = rows.append_column(name, pa.array(values))
        ((name, _),) = exchange.write(plan.scratch, [timeline.events])
        for part, reference in exchange.scatter(plan.scratch, rows, plan.slices(times)):
            yield part, ("users", reference, name)


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """A shard's events by (user, time), each once.

    ``events`` columns: item_id and action (text as a dictionary), ``row`` (of the item's dimension
    as of the event, -1 when none), event_time (int64 milliseconds; :data:`INEXACT_TIME`).
    """

    index: TimeIndex
    events: pa.RecordBatch
    users: Ints
    times: Ints

    @staticmethod
    def of(plan: Plan, events: pa.Table, users: Ints, distinct: int) -> Timeline:
        """Sort and de-duplicate behaviours whose users are ``users`` in ``[0, distinct)``."""
        times = integers(events["event_time"])
        exact = flat(events["time_exact"]).to_numpy(zero_copy_only=False)
        (items,), _ = ranks([events["item_id"]])
        (actions,), _ = ranks([events["action"]])
        order = order_behaviors(
            users=users,
            times=times,
            positions=integers(events["position"]),
            items=items,
            actions=actions,
            exact=exact,
        )
        chosen = events.select(["item_id", "action"]).take(pa.array(order)).combine_chunks()
        users, times, exact = users[order], times[order], exact[order]
        item = flat(chosen["item_id"])
        batch = pa.record_batch(
            {
                "item_id": item.dictionary_encode() if pa.types.is_string(item.type) else item,
                "action": flat(chosen["action"]).dictionary_encode(),
                "row": pa.array(plan.items.rows(item, times), pa.int32()),
                "event_time": pa.array(np.where(exact, times, INEXACT_TIME)),
            }
        )
        index = TimeIndex(users, times, distinct)
        return Timeline(index=index, events=batch, users=users, times=times)
