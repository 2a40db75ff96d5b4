"""Counters of a shard of users: of the users themselves, and of pairs with one."""

from __future__ import annotations

import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints, integers
from hemix.features.counting.counts import Asked, Events, count
from hemix.features.counting.numbering import numbered
from hemix.features.counting.pairs import Candidates, UserEvents, pair_counts
from hemix.features.examples.behaviors import INEXACT_TIME, Timeline
from hemix.features.examples.counter_columns import Counting, counter_names, key_column
from hemix.features.examples.log import Log


def user_counters(
    log: Log,
    interactions: pa.Table,
    users: Ints,
    timeline: Timeline,
    asked: Asked,
    chosen: Ints | None,
) -> dict[str, Ints]:
    """The columns ``[queries]`` of all counters that go by user.

    Args:
        log: definition, types and the items' dimension.
        interactions: all interactions of the shard's users ``[rows]``.
        users: int64 ``[rows]``, their users; -1 when missing.
        timeline: the behaviours of the same users, numbered alike.
        asked: users and times of the interactions that are asked for.
        chosen: their places in ``interactions``; None: all of them.
    """
    found_columns: dict[str, Ints] = {}
    exact = exact_events(timeline)
    for counter in log.definition.counters:
        if not counter.by_user:
            continue
        columns: dict[str, Ints] = {}
        for counting in Counting.of(log.definition, counter):
            if not counting.counted:
                continue
            acted = counting.counted[0].action
            table = exact if acted else interactions
            owners = integers(exact["user"]) if acted else users
            times = integers(table["event_time"])
            flags = counting.flags(table)
            if not counter.is_pair:
                found = count(
                    Events(groups=owners, times=times, flags=flags),
                    asked,
                    windows=counter.windows,
                    delay_ms=log.delay_ms,
                )
            else:
                key = counter.keys[1]
                values, held = numbered(
                    key_column(log, key, interactions), pair_values(log, key, table, acted=acted)
                )
                found = pair_counts(
                    UserEvents(users=owners, values=held, times=times, flags=flags),
                    Candidates(
                        users=asked.groups,
                        values=values if chosen is None else values[chosen],
                        times=asked.times,
                    ),
                    windows=counter.windows,
                    last=counter.last,
                    delay_ms=log.delay_ms,
                )
            columns |= counting.columns(found, asked.times)
        found_columns |= {name: columns[name] for name in counter_names(log.definition, counter)}
    return found_columns


def exact_events(timeline: Timeline) -> pa.Table:
    """The behaviours whose time is known, in order, with their ``user``."""
    table = pa.Table.from_batches([timeline.events]).append_column("user", pa.array(timeline.users))
    return table.filter(pa.array(integers(table["event_time"]) != INEXACT_TIME))


def pair_values(log: Log, key: str, table: pa.Table, *, acted: bool) -> pa.Array:
    """The other half of a pair in interactions, or in behaviours: as of the event."""
    if not acted:
        return key_column(log, key, table)
    if key == "item_id":
        return table["item_id"]
    return log.items.spread(key, integers(table["row"]))
