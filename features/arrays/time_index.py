"""Events of many groups (users, items, authors) in one sorted array, searched by group and time."""

from __future__ import annotations

import numpy as np

from hemix.features.arrays.dense_ranks import Bools, Ints

_LIMIT = 2**62


class TimeIndex:
    """Positions in events sorted by (group, time).

    Group and time are packed into one int64, so that one ``searchsorted`` answers all queries.

    Args:
        groups: int64 ``[events]`` in ``[0, count)``, ascending.
        times: int64 ``[events]``, milliseconds, ascending within a group.
        count: number of groups.
    """

    def __init__(self, groups: Ints, times: Ints, count: int) -> None:
        self.starts = np.searchsorted(groups, np.arange(count + 1)).astype(np.int64)
        self._grid: Ints | None = None
        self._low = int(times.min()) if len(times) else 0
        self._span = (int(times.max()) - self._low if len(times) else 0) + 2
        if self._span * max(count, 1) >= _LIMIT:
            self._grid = np.unique(times)
            self._span = len(self._grid) + 1
        self._keys = groups * self._span + self._ticks(times)

    def _ticks(self, times: Ints) -> Ints:
        if self._grid is not None:
            return np.searchsorted(self._grid, times).astype(np.int64)
        return np.clip(times, self._low, self._low + self._span - 1) - self._low

    def before(self, groups: Ints, times: Ints) -> Ints:
        """Position ``[queries]`` of the first event of the group with ``event time >= time``.

        ``position - starts[group]`` is how many events of the group lie before ``time``.
        Queries in (group, time) order are the fastest.
        """
        keys = groups * self._span + self._ticks(times)
        return np.searchsorted(self._keys, keys).astype(np.int64)


def pack(groups: Ints, times: Ints) -> Ints:
    """int64 keys that order and tie as (group, time) do."""
    if not len(groups):
        return groups
    low = int(times.min())
    span = int(times.max()) - low + 1
    if span * (int(groups.max()) + 1) < _LIMIT:
        return groups * span + (times - low)
    grid, ticks = np.unique(times, return_inverse=True)
    return groups * len(grid) + ticks


def tied(keys: Ints) -> Bools:
    """True where a sorted key equals the one before or after it."""
    same = keys[1:] == keys[:-1]
    result = np.zeros(len(keys), np.bool_)
    result[1:] = same
    result[:-1] |= same
    return result


def order_behaviors(
    *, users: Ints, times: Ints, positions: Ints, items: Ints, actions: Ints, exact: Bools
) -> Ints:
    """Rows of a behaviour log in order, each event once.

    Order: (user, time, position, item, action), inexact events first. The key of an event is (user,
    item, time, action); events with an inexact time come from lists, where position is part of it.

    Args:
        users: int64 ``[rows]``.
        times: int64 ``[rows]``, milliseconds.
        positions: int64 ``[rows]``, place in the list that the event comes from.
        items: int64 ``[rows]``, ranks.
        actions: int64 ``[rows]``, ranks.
        exact: bool ``[rows]``.

    Returns:
        int64 row numbers; of exact repeats the one with the lowest position stays.
    """
    keys = pack(users, times)
    order = np.argsort(keys)
    ties = np.flatnonzero(tied(keys[order]))
    if not len(ties):
        return order.astype(np.int64)
    rows = order[ties]
    key, position, item = keys[rows], positions[rows], items[rows]
    action, known = actions[rows], exact[rows]
    place = np.where(known, 0, position)
    by_identity = np.lexsort((position, place, known, action, item, key))
    first = np.ones(len(rows), np.bool_)
    first[1:] = False
    for column in (key, item, action, known, place):
        values = column[by_identity]
        first[1:] |= values[1:] != values[:-1]
    keep = np.zeros(len(rows), np.bool_)
    keep[by_identity[first]] = True
    in_order = np.lexsort((known, action, item, position, key))
    order[ties] = rows[in_order]
    kept = np.ones(len(order), np.bool_)
    kept[ties] = keep[in_order]
    return order[kept].astype(np.int64)
