"""The counters of a definition, as columns of its interactions."""

from __future__ import annotations

import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints, flat, integers
from hemix.features.definition import Counter, DatasetDefinition
from hemix.features.examples import counters
from hemix.features.examples.log import Log
from hemix.features.schema import label_column


def counter_names(definition: DatasetDefinition, counter: Counter) -> list[str]:
    """The columns of a counter."""
    events = definition.counter_events(counter)
    return [counter.column(event, window) for event in events for window in counter.windows]


def key_of(log: Log, counter: Counter, table: pa.Table) -> pa.Array:
    """The key ``[rows]`` of a counter: an id, or the item's attribute as of the interaction."""
    if counter.key in ("user_id", "item_id"):
        return flat(table[counter.key])
    rows = log.items.rows(table["item_id"], integers(table["event_time"]))
    return log.items.take(counter.key, rows)


def counter_columns(log: Log, counter: Counter) -> list[str]:
    """Columns of the interactions that a counter's shard needs beside the key."""
    events = log.definition.counter_events(counter)
    return ["event_time", *(label_column(e) for e in events if e != "impression")]


def count_rows(
    log: Log,
    counter: Counter,
    table: pa.Table,
    groups: Ints,
    query_groups: Ints,
    query_times: Ints,
) -> dict[str, Ints]:
    """The counter's columns ``[queries]``, counted over a table of interactions.

    Args:
        table: interactions ``[rows]``.
        groups: int64 ``[rows]``, the group of their key; -1 when missing.
        query_groups: int64 ``[queries]``.
        query_times: int64 ``[queries]``, milliseconds.
    """
    events = log.definition.counter_events(counter)
    found = counters.count(
        groups=groups,
        times=integers(table["event_time"]),
        labels={e: flat(table[label_column(e)]).to_numpy() for e in events if e != "impression"},
        query_groups=query_groups,
        query_times=query_times,
        events=events,
        windows=counter.windows,
        delay_ms=log.delay_ms,
    )
    return {counter.column(e, w): found[e, w] for e in events for w in counter.windows}
