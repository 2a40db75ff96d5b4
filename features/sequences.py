"""Which events of a user an interaction may see: two ranges of the user's sorted events.

Events of a user are sorted once; a sequence is then a contiguous range of them, found by binary
search, so that no interaction touches more than the events it keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from features.definition import Sequences
from features.keys import Bools, Ints
from features.timeline import TimeIndex

DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class SequenceRanges:
    """Ranges ``[start, end)`` of sorted events, int64 ``[queries]`` each."""

    global_start: Ints
    global_end: Ints
    realtime_start: Ints
    realtime_end: Ints


def window_start(times: Ints, sequences: Sequences) -> Ints:
    """Where the real-time window of an interaction begins, milliseconds ``[n]``."""
    if sequences.realtime_window == "day":
        return times - times % DAY_MS
    return times - int(sequences.realtime_window) * 1000


def cut(index: TimeIndex, users: Ints, times: Ints, sequences: Sequences) -> SequenceRanges:
    """Ranges of the global and the real-time sequence of each query.

    An event is visible when ``event_time + availability_delay < time``.

    Args:
        index: the events, by (user, time).
        users: int64 ``[queries]``, the user's group in ``index``.
        times: int64 ``[queries]``, milliseconds.
    """
    visible = index.before(users, times - sequences.availability_delay * 1000)
    split = np.minimum(index.before(users, window_start(times, sequences)), visible)
    first = index.starts[users]
    return SequenceRanges(
        global_start=np.maximum(first, split - sequences.global_length),
        global_end=split,
        realtime_start=np.maximum(split, visible - sequences.realtime_length),
        realtime_end=visible,
    )


def history(index: TimeIndex, as_of: int, sequences: Sequences) -> Bools:
    """True ``[events]`` where an event belongs to its user's state as of an instant.

    A real-time window that slides (seconds) may end anywhere in the window's events later, so all
    of them stay; one that is the UTC day only needs the most recent.
    """
    users = np.arange(len(index.starts) - 1)
    times = np.full(len(users), as_of, np.int64)
    ranges = cut(index, users, times, sequences)
    end = ranges.realtime_end
    if sequences.realtime_window == "day":
        keep = max(sequences.global_length, sequences.realtime_length)
        recent = np.maximum(ranges.global_end, end - keep)
    else:
        recent = ranges.global_end
    edges = np.zeros(int(index.starts[-1]) + 1, np.int64)
    for start, stop in ((ranges.global_start, ranges.global_end), (recent, end)):
        np.add.at(edges, start, 1)
        np.add.at(edges, stop, -1)
    return np.cumsum(edges[:-1]) > 0
