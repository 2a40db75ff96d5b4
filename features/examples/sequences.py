"""Which events of a user an interaction may see: two ranges of the user's sorted events.

Events of a user are sorted once; a sequence is then a contiguous range of them, found by binary
search, so that no interaction touches more than the events it keeps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hemix.features.arrays.dense_ranks import Bools, Ints
from hemix.features.arrays.time_index import TimeIndex
from hemix.features.declared_sources import Sequences

DAY_MS = 86_400_000


@dataclass(frozen=True, kw_only=True)
class SequenceRanges:
    """Ranges ``[start, end)`` of sorted events, int64 ``[queries]`` each."""

    global_start: Ints
    global_end: Ints
    realtime_start: Ints
    realtime_end: Ints


def _split(index: TimeIndex, users: Ints, times: Ints, visible: Ints, rule: Sequences) -> Ints:
    """Position ``[queries]`` of the first event of the real-time window."""
    if rule.realtime_window == "last":
        return np.maximum(index.starts[users], visible - rule.realtime_length)
    if rule.realtime_window == "day":
        start = times - times % DAY_MS
    else:
        start = times - rule.realtime_window * 1000
    return np.minimum(index.before(users, start), visible)


def cut(index: TimeIndex, users: Ints, times: Ints, sequences: Sequences) -> SequenceRanges:
    """Ranges of the global and the real-time sequence of each query.

    An event is visible when ``event_time + availability_delay < time``. The ranges are disjoint
    unless the sequences overlap; then both end with the last visible event.

    Args:
        index: the events, by (user, time).
        users: int64 ``[queries]``, the user's group in ``index``.
        times: int64 ``[queries]``, milliseconds.
        sequences: lengths, window and delay of the definition.
    """
    visible = index.before(users, times - sequences.delay_s * 1000)
    split = _split(index, users, times, visible, sequences)
    end = visible if sequences.overlap else split
    return SequenceRanges(
        global_start=np.maximum(index.starts[users], end - sequences.global_length),
        global_end=end,
        realtime_start=np.maximum(split, visible - sequences.realtime_length),
        realtime_end=visible,
    )


def history(index: TimeIndex, as_of: int, sequences: Sequences) -> Bools:
    """True ``[events]`` where an event belongs to its user's state as of an instant.

    A real-time window that slides (seconds) may begin anywhere in the window's events later, and
    the global sequence ends there: all of them stay. Of the UTC day's only the most recent are
    needed. Where no clock moves the end of the global sequence (``last``, overlap) the events of
    the instant's two sequences are enough.
    """
    users = np.arange(len(index.starts) - 1)
    times = np.full(len(users), as_of, np.int64)
    ranges = cut(index, users, times, sequences)
    end = ranges.realtime_end
    if sequences.overlap or sequences.realtime_window == "last":
        recent = ranges.realtime_start
    elif sequences.realtime_window == "day":
        keep = max(sequences.global_length, sequences.realtime_length)
        recent = np.maximum(ranges.global_end, end - keep)
    else:
        recent = ranges.global_end
    edges = np.zeros(int(index.starts[-1]) + 1, np.int64)
    for start, stop in ((ranges.global_start, ranges.global_end), (recent, end)):
        np.add.at(edges, start, 1)
        np.add.at(edges, stop, -1)
    return np.cumsum(edges[:-1]) > 0
