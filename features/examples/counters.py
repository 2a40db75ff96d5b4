"""Counts of past interactions with the same key, as of a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hemix.features.arrays.dense_ranks import Ints
from hemix.features.arrays.time_index import TimeIndex, pack
from hemix.features.definition import Counter


def count(
    *,
    groups: Ints,
    times: Ints,
    labels: Mapping[str, npt.NDArray[np.int8]],
    query_groups: Ints,
    query_times: Ints,
    events: Sequence[str],
    windows: Sequence[str],
    delay_ms: int,
) -> dict[tuple[str, str], Ints]:
    """How many interactions of a query's group were known in each window.

    An interaction counts for a query at t when ``t - window <= time`` and ``time + delay < t``.

    Args:
        groups: int64 ``[interactions]``; -1 is a missing key, which nothing counts.
        times: int64 ``[interactions]``, milliseconds.
        labels: int8 ``[interactions]`` of each event but ``impression``.
        query_groups: int64 ``[queries]``; -1 has counts of 0.
        query_times: int64 ``[queries]``, milliseconds.

    Returns:
        ``(event, window) -> int64 [queries]``.
    """
    known = np.flatnonzero(groups >= 0)
    log = known[np.argsort(pack(groups[known], times[known]))]
    distinct = int(max(groups.max(initial=-1), query_groups.max(initial=-1))) + 1
    index = TimeIndex(groups[log], times[log], distinct)
    totals = {
        event: np.concatenate(([0], np.cumsum(labels[event][log] == 1)))
        for event in events
        if event != "impression"
    }
    asked = np.flatnonzero(query_groups >= 0)
    asked = asked[np.argsort(pack(query_groups[asked], query_times[asked]))]
    group, time = query_groups[asked], query_times[asked]
    end = index.before(group, time - delay_ms)
    result: dict[tuple[str, str], Ints] = {}
    for window in windows:
        seconds = Counter.window_seconds(window)
        if seconds is None:
            start = index.starts[group]
        else:
            start = np.minimum(index.before(group, time - seconds * 1000), end)
        for event in events:
            found = (
                end - start if event == "impression" else totals[event][end] - totals[event][start]
            )
            values = np.zeros(len(query_groups), np.int64)
            values[asked] = found
            result[event, window] = values
    return result
