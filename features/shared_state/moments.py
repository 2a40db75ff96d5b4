"""The one moment that the rows of a group share: that of the group's first row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints, integers, ranks


@dataclass(frozen=True, kw_only=True)
class Moments:
    """Groups of rows, users or requests, and the first row of each.

    ``first``: int64 ``[G]``, ascending, the number of each group's earliest row. ``of_row``: int64
    ``[B]``, the place in ``first`` of each row's group. ``times``: int64 ``[B]``, milliseconds, when
    that first row was. ``already_shared``: every row is of its group's own moment, so that the rows'
    own state is the group's.
    """

    first: Ints
    of_row: Ints
    times: Ints
    already_shared: bool

    @staticmethod
    def of(groups: pa.ChunkedArray, event_time: pa.ChunkedArray) -> Moments:
        """The moments of the groups ``groups [B]`` whose rows were at ``event_time [B]``.

        Rows of one group and instant have one state (events of the same instant are not visible), so
        it does not matter which of them comes first.
        """
        (codes,), count = ranks([groups])
        times = integers(event_time)
        order = np.lexsort((times, codes))
        starts = np.searchsorted(codes[order], np.arange(count))
        first_of = order[starts]
        first = np.sort(first_of)
        of_row = np.searchsorted(first, first_of)[codes]
        shared = times[first][of_row]
        return Moments(
            first=first,
            of_row=of_row,
            times=shared,
            already_shared=bool((shared == times).all()),
        )


def rows_at(tables: Iterable[pa.Table], rows: Sequence[int] | Ints) -> pa.Table:
    """The rows numbered ``rows`` (ascending) of all ``tables``, one after the other.

    Only these are kept in memory.
    """
    wanted = np.asarray(rows, np.int64)
    kept: list[pa.Table] = []
    start = 0
    for table in tables:
        low, high = np.searchsorted(wanted, (start, start + table.num_rows))
        kept.append(table.take(pa.array(wanted[low:high] - start)))
        start += table.num_rows
    return pa.concat_tables(kept).combine_chunks()
