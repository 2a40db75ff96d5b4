"""What counters of one key need of a log's past: the behaviours that they count, and sums of what is older."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hemix.features.arrays.dense_ranks import Ints, flat, integers, present, ranks
from hemix.features.counting.counts import NEVER
from hemix.features.definition import DatasetDefinition
from hemix.features.examples.counter_columns import EVENT, Counting, key_of, once_each
from hemix.features.examples.log import Log

KEY = "key"


def counted_names(definition: DatasetDefinition) -> tuple[str, ...]:
    """The actions that counters of one key count."""
    singles = [counter for counter in definition.counters if not counter.is_pair]
    return tuple(dict.fromkeys(action for counter in singles for action in counter.actions))


def acts_of(log: Log, behaviors: pa.Table) -> pa.Table:
    """The behaviours that counters of one key may count, each once, by user, time, item and action."""
    names = pa.array(counted_names(log.definition), pa.string())
    wanted = pc.and_(pc.is_in(behaviors["action"], value_set=names), behaviors["time_exact"])
    order = [(name, "ascending") for name in ("user_id", "event_time", "item_id", "action")]
    return once_each(behaviors.filter(wanted)).select(list(EVENT)).sort_by(order).combine_chunks()


def count_name(name: str) -> str:
    """Column of :func:`sums_of` that says how many."""
    return f"count {name}"


def last_name(name: str) -> str:
    """Column of :func:`sums_of` that says when the last one was, epoch milliseconds."""
    return f"last {name}"


def sums_of(log: Log, counting: Counting, table: pa.Table) -> pa.Table:
    """How often each key has each thing that is counted of ``table``, and when last; a row a key.

    Without rows for a counter of a pair: the user's own events are kept for those.
    """
    if counting.counter.is_pair or not counting.counted:
        return pa.table({KEY: pa.array([], pa.int64())})
    key = flat(key_of(log, counting.counter, table))
    there = pa.array(present(key))
    key, table = key.filter(there), table.filter(there)
    (groups,), distinct = ranks([key])
    columns: dict[str, pa.Array] = {
        KEY: key.take(pa.array(np.unique(groups, return_index=True)[1]))
    }
    times: Ints = integers(table["event_time"])
    for name, flags in counting.flags(table).items():
        mine = groups if flags is None else groups[flags]
        last = np.full(distinct, NEVER, np.int64)
        np.maximum.at(last, mine, times if flags is None else times[flags])
        columns[count_name(name)] = pa.array(np.bincount(mine, minlength=distinct).astype(np.int64))
        columns[last_name(name)] = pa.array(last)
    return pa.table(columns)
