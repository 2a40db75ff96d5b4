"""Counts of past events with the same key, as of a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hemix.features.arrays.dense_ranks import Bools, Ints
from hemix.features.arrays.time_index import TimeIndex, pack
from hemix.features.parts import Counter

NEVER = 0
"""Stands for the time of the last event where there was none; events lie after 1980."""


@dataclass(frozen=True, kw_only=True)
class Events:
    """Events of one table.

    Args:
        groups: int64 ``[events]``, the group of their key; -1 is a missing key, which nothing counts.
        times: int64 ``[events]``, milliseconds.
        flags: what is counted -> bool ``[events]``; None: every event.
    """

    groups: Ints
    times: Ints
    flags: Mapping[str, Bools | None]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked of them.

    Args:
        groups: int64 ``[queries]``; -1 has counts of 0.
        times: int64 ``[queries]``, milliseconds.
        floors: int64 ``[queries]``, milliseconds: earlier events are not looked at.
    """

    groups: Ints
    times: Ints
    floors: Ints | None = None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """``counts``: (what, window) -> int64 ``[queries]``; ``last_ms``: what -> when, or NEVER."""

    counts: dict[tuple[str, str], Ints]
    last_ms: dict[str, Ints]


def count(events: Events, asked: Asked, *, windows: Sequence[str], delay_ms: int) -> Counts:
    """How many events of a query's group were known in each window, and when the last one was.

    An event counts for a query at t when ``t - window <= time`` and ``time + delay < t``.
    """
    known = np.flatnonzero(events.groups >= 0)
    log = known[np.argsort(pack(events.groups[known], events.times[known]))]
    distinct = int(max(events.groups.max(initial=-1), asked.groups.max(initial=-1))) + 1
    times = events.times[log]
    index = TimeIndex(events.groups[log], times, distinct)
    rows = np.flatnonzero(asked.groups >= 0)
    rows = rows[np.argsort(pack(asked.groups[rows], asked.times[rows]))]
    group, time = asked.groups[rows], asked.times[rows]
    end = index.before(group, time - delay_ms)
    first = index.starts[group]
    if asked.floors is not None:
        first = np.minimum(index.before(group, asked.floors[rows]), end)
    starts = {window: _start(index, group, time, first, end, window) for window in windows}
    found = Counts(counts={}, last_ms={})
    for name, flag in events.flags.items():
        counted = np.ones(len(log), np.bool_) if flag is None else flag[log]
        totals = np.concatenate(([0], np.cumsum(counted)))
        for window, start in starts.items():
            values = np.zeros(len(asked.groups), np.int64)
            values[rows] = totals[end] - totals[start]
            found.counts[name, window] = values
        places = np.where(counted, np.arange(len(log)), -1)
        latest = np.concatenate(([-1], np.maximum.accumulate(places)))[end]
        inside = latest >= first
        last = np.full(len(asked.groups), NEVER, np.int64)
        last[rows[inside]] = times[latest[inside]]
        found.last_ms[name] = last
    return found


def _start(index: TimeIndex, group: Ints, time: Ints, first: Ints, end: Ints, window: str) -> Ints:
    seconds = Counter.window_seconds(window)
    if seconds is None:
        return first
    return np.clip(index.before(group, time - seconds * 1000), first, end)


def since_seconds(last_ms: Ints, time_ms: Ints | int) -> Ints:
    """Whole seconds ``[queries]`` since the last event; -1 where there was none."""
    return np.where(last_ms == NEVER, -1, (time_ms - last_ms) // 1000)
