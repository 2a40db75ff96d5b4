"""Counters of a pair: a user's own recent events that have the candidate's value.

The same function counts for examples (events of many users at many times) and for a request (one
user's stored events, now). A pair is two numbers side by side, never a joined text: user ``a:b``
with item ``c`` is not user ``a`` with item ``b:c``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hemix.features.arrays.dense_ranks import Bools, Ints
from hemix.features.arrays.time_index import TimeIndex, pack
from hemix.features.counting.counts import Asked, Counts, Events, count


@dataclass(frozen=True, kw_only=True)
class UserEvents:
    """Events of users, in any order.

    Args:
        users: int64 ``[events]`` in ``[0, users)``; -1: a missing user, whose events nothing counts.
        values: int64 ``[events]``, the number of the pair's other half; -1 when missing.
        times: int64 ``[events]``, milliseconds.
        flags: what is counted -> bool ``[events]``; None: every event.
    """

    users: Ints
    values: Ints
    times: Ints
    flags: Mapping[str, Bools | None]


@dataclass(frozen=True, kw_only=True)
class Candidates:
    """Who is asked for what, when: int64 ``[queries]`` each, numbered as in :class:`UserEvents`."""

    users: Ints
    values: Ints
    times: Ints


def pair_counts(
    events: UserEvents, asked: Candidates, *, windows: Sequence[str], last: int, delay_ms: int
) -> Counts:
    """Counts ``[queries]`` of the events that share user and value with a query.

    They are looked for in the user's ``last`` most recent known events, and in those of the same
    instant as the oldest of them, so that what is stored of a user is bounded.

    Args:
        events: what was counted of users, by user and time.
        asked: users, values and times ``[queries]``.
        windows: lengths of time back, such as ``1h``, or ``ever``.
        last: how many of a user's known events are looked at.
        delay_ms: how long after an event the system knows of it.
    """
    width = int(max(events.values.max(initial=-1), asked.values.max(initial=-1))) + 1
    mine, theirs = (
        np.where((one.users >= 0) & (one.values >= 0), one.users * width + one.values, -1)
        for one in (events, asked)
    )
    _, numbers = np.unique(np.concatenate([[-1], mine, theirs]), return_inverse=True)
    mine, theirs = np.split(numbers[1:].astype(np.int64) - 1, [len(mine)])
    return count(
        Events(groups=mine, times=events.times, flags=events.flags),
        Asked(
            groups=theirs,
            times=asked.times,
            floors=floors(events, asked.users, asked.times, last=last, delay_ms=delay_ms),
        ),
        windows=windows,
        delay_ms=delay_ms,
    )


def floors(events: UserEvents, users: Ints, times: Ints, *, last: int, delay_ms: int) -> Ints:
    """The time ``[queries]`` of the oldest of the user's ``last`` most recent known events.

    Args:
        events: what was counted of users, by user and time.
        users: int64 ``[queries]``.
        times: int64 ``[queries]``, milliseconds.
        last: how many of a user's known events are looked at.
        delay_ms: how long after an event the system knows of it.
    """
    known = np.flatnonzero(events.users >= 0)
    order = known[np.argsort(pack(events.users[known], events.times[known]))]
    result = np.zeros(len(users), np.int64)
    if not len(order):
        return result
    distinct = int(max(events.users.max(), users.max(initial=-1))) + 1
    sorted_times = events.times[order]
    index = TimeIndex(events.users[order], sorted_times, distinct)
    rows = np.flatnonzero(users >= 0)
    end = index.before(users[rows], times[rows] - delay_ms)
    oldest = np.maximum(index.starts[users[rows]], end - last)
    result[rows] = sorted_times[np.minimum(oldest, len(order) - 1)]
    return result
