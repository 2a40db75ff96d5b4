"""A user's recent events as of an instant, for the counters of pairs: what a request counts from."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints, flat, integers, present, ranks
from hemix.features.arrays.jagged import offsets
from hemix.features.counting.pairs import UserEvents, floors
from hemix.features.examples.behaviors import Timeline
from hemix.features.examples.log import Log
from hemix.features.examples.user_counters import exact_events, pair_values
from hemix.features.schema import ACTED, SHOWN, label_column, pairs_of


def pair_history(
    log: Log, ids: pa.Array, interactions: pa.Table, timeline: Timeline, now: int
) -> dict[str, pa.Array]:
    """The lists of :func:`hemix.features.schema.pair_lists` of all users ``ids``, oldest first.

    Args:
        log: definition, types and the items' dimension.
        ids: the users.
        interactions: those that are known at ``now``.
        timeline: the known behaviours of the users, numbered as ``ids`` are.
        now: epoch milliseconds.
    """
    lists: dict[str, pa.Array] = {}
    for prefix, acted in ((SHOWN, False), (ACTED, True)):
        pairs = pairs_of(log.definition, action=acted)
        if not pairs:
            continue
        if acted:
            table = exact_events(timeline)
            users = integers(table["user"])
        else:
            (_, users), _ = ranks([ids, interactions["user_id"]])
            users = np.where(present(interactions["user_id"]), users, -1)
            table = interactions
        last = max(counter.last for counter in pairs)
        kept = _recent(users, integers(table["event_time"]), len(ids), last, now)
        table, users = table.take(pa.array(kept)).combine_chunks(), users[kept]
        columns: dict[str, pa.Array] = {"event_time_ms": pa.array(integers(table["event_time"]))}
        for counter in pairs:
            key = counter.keys[1]
            columns[key] = pair_values(log, key, table, acted=acted)
        if acted:
            columns["action"] = table["action"]
        else:
            for task in log.definition.tasks:
                columns[label_column(task)] = table[label_column(task)].cast(pa.int64())
        ends = pa.array(
            offsets(np.bincount(users, minlength=len(ids)).astype(np.int64)), pa.int32()
        )
        for name, values in columns.items():
            lists[prefix + name] = pa.ListArray.from_arrays(ends, _plain(values))
    return lists


def _recent(users: Ints, times: Ints, count: int, last: int, now: int) -> Ints:
    """Places of each user's ``last`` most recent events by (user, time), with all of the oldest's instant."""
    events = UserEvents(users=users, values=users, times=times, flags={})
    at = np.full(count, now, np.int64)
    oldest = floors(events, np.arange(count), at, last=last, delay_ms=0)
    kept = np.flatnonzero((users >= 0) & (times >= oldest[users]))
    return kept[np.lexsort((times[kept], users[kept]))]


def _plain(values: pa.Array | pa.ChunkedArray) -> pa.Array:
    array = flat(values)
    return array.dictionary_decode() if isinstance(array, pa.DictionaryArray) else array
