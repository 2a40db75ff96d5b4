"""Users and items as of an instant: what a request that arrives then would be ranked with.

The same kernels as for examples, asked at one time for everyone instead of at every interaction.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.features.arrays.dense_ranks import Bools, Ints, flat, integers, present, ranks
from hemix.features.arrays.jagged import offsets
from hemix.features.counting.counts import Asked, Counts
from hemix.features.definition import DatasetDefinition
from hemix.features.examples import sequences
from hemix.features.examples.behaviors import INEXACT_TIME, Timeline
from hemix.features.examples.counter_columns import (
    Counting,
    count_rows,
    counted_actions,
    key_of,
    once_each,
)
from hemix.features.examples.log import Log, read_rows, read_tasks, read_types
from hemix.features.examples.recent_events import pair_history
from hemix.features.parts import Counter
from hemix.features.schema import TIME, item_state_schema, user_state_schema
from hemix.files import atomic_folder


def build_state(
    definition: DatasetDefinition, events: Path, as_of: datetime, out: Path
) -> tuple[int, int]:
    """Write ``users.parquet`` and ``items.parquet`` as of an instant.

    They hold every user and item of the dimensions and of the events known then, by id.

    Args:
        definition: the data set definition.
        events: what ingest wrote.
        as_of: the instant, aware; events with ``event_time + availability_delay < as_of`` count.
        out: folder, replaced as a whole.

    Returns:
        How many users and items.

    Raises:
        DataError: a file is damaged or lacks columns.
    """
    log = Log(definition=definition, types=read_types(events), events=events)
    now = round(as_of.timestamp() * 1000)
    behaviors = _visible(log, "behaviors", now)
    interactions = _visible(log, "interactions", now)
    users = _users(log, behaviors, interactions, now)
    items = _items(log, behaviors, interactions, now)
    with atomic_folder(out) as folder:
        pq.write_table(users, folder / "users.parquet", compression="zstd")
        pq.write_table(items, folder / "items.parquet", compression="zstd")
    return users.num_rows, items.num_rows


def _visible(log: Log, table: str, now: int) -> pa.Table:
    """The rows of an event table that are known at ``now``."""
    schema = log.schema(table)
    limit = pa.scalar(now - log.delay_ms).cast(TIME)
    pieces = [read_rows(task, schema) for task in read_tasks(log.events, table)]
    known = [piece.filter(pc.less(piece["event_time"], limit)) for piece in pieces]
    return pa.concat_tables([schema.empty_table(), *known]).combine_chunks()


def _ids(key: str, dimension: pa.Table, now: int, *tables: pa.Table) -> pa.Array:
    """Every id known at ``now``, ascending."""
    known = dimension.filter(pc.less_equal(dimension["valid_from"], pa.scalar(now).cast(TIME)))
    ids = pa.concat_arrays([flat(table[key]) for table in (known, *tables)]).unique()
    return ids.take(pc.sort_indices(ids))


def _users(log: Log, behaviors: pa.Table, interactions: pa.Table, now: int) -> pa.Table:
    ids = _ids("user_id", log.users.table, now, behaviors, interactions)
    (_, event_users), count = ranks([ids, behaviors["user_id"]])
    timeline = Timeline.of(log, behaviors, event_users, count)
    kept = sequences.history(timeline.index, now, log.definition.sequences)
    columns: dict[str, pa.Array] = {"user_id": ids, **_as_of(now, count)}
    for counter in log.definition.counters:
        if counter.by_user and not counter.is_pair:
            columns |= _counts(log, counter, interactions, behaviors, ids, now)
    lengths = np.bincount(timeline.users[kept], minlength=count).astype(np.int64)
    columns |= _history(log, timeline, kept, offsets(lengths))
    columns |= pair_history(log, ids, interactions, timeline, now)
    schema = user_state_schema(log.definition, log.types)
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def _history(log: Log, timeline: Timeline, kept: Bools, ends: Ints) -> dict[str, pa.Array]:
    """The parallel ``history_*`` lists of all users."""
    events = timeline.events.filter(pa.array(kept))
    rows = events.column("row").to_numpy()
    exact = integers(events.column("event_time")) != INEXACT_TIME
    values = {
        "item_id": events.column("item_id"),
        **{name: log.items.spread(name, rows) for name in log.definition.sequences.columns},
        "action": events.column("action"),
        "event_time_ms": pa.array(timeline.times[kept]),
        "time_exact": pa.array(exact.astype(np.int64)),
    }
    lists: dict[str, pa.Array] = {}
    for name, array in values.items():
        if isinstance(array, pa.DictionaryArray):
            array = array.dictionary_decode()
        lists[f"history_{name}"] = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), array)
    return lists


def _items(log: Log, behaviors: pa.Table, interactions: pa.Table, now: int) -> pa.Table:
    ids = _ids("item_id", log.items.table, now, behaviors, interactions)
    columns: dict[str, pa.Array] = {"item_id": ids, **_as_of(now, len(ids))}
    rows = log.items.rows(ids, np.full(len(ids), now))
    for counter in log.definition.counters:
        if not counter.by_user:
            name = counter.keys[0]
            key = ids if name == "item_id" else log.items.take(name, rows)
            columns |= _counts(log, counter, interactions, behaviors, key, now)
    schema = item_state_schema(log.definition, log.types)
    return pa.table({name: columns[name] for name in schema.names}).cast(schema)


def _counts(
    log: Log,
    counter: Counter,
    interactions: pa.Table,
    behaviors: pa.Table,
    asked: pa.Array,
    now: int,
) -> dict[str, pa.Array]:
    """What the state holds of a counter for the keys ``asked`` at ``now``."""
    columns: dict[str, Ints] = {}
    acted = once_each(counted_actions(counter, behaviors))
    for counting, table in zip(
        Counting.of(log.definition, counter), (interactions, acted), strict=True
    ):
        key = key_of(log, counter, table)
        (groups, queries), _ = ranks([key, asked])
        groups = np.where(present(key), groups, -1)
        queries = np.where(present(asked), queries, -1)
        question = Asked(groups=queries, times=np.full(len(asked), now, np.int64))
        found: Counts = count_rows(log, counting, table, groups, question)
        columns |= counting.state(found)
    return {name: pa.array(values) for name, values in columns.items()}


def _as_of(now: int, rows: int) -> dict[str, pa.Array]:
    return {"as_of": pa.array(np.full(rows, now, np.int64)).cast(TIME)}
