"""A shard's behaviours in order, each once, ready to be searched and gathered."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints, flat, integers, ranks
from hemix.features.arrays.time_index import TimeIndex, order_behaviors
from hemix.features.examples.log import Log

INEXACT_TIME = -(2**63)
"""Stands for the time of an event whose time is only a bound, in sorted events."""


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
    def of(log: Log, events: pa.Table, users: Ints, distinct: int) -> Timeline:
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
                "row": pa.array(log.items.rows(item, times), pa.int32()),
                "event_time": pa.array(np.where(exact, times, INEXACT_TIME)),
            }
        )
        index = TimeIndex(users, times, distinct)
        return Timeline(index=index, events=batch, users=users, times=times)
