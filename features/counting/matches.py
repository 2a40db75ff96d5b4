"""Matches between a candidate and a sequence: how many of its events, and how long ago the latest.

The same function serves examples (a list a row) and requests (one list, N candidates).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hemix.features.arrays.dense_ranks import Ints
from hemix.features.arrays.jagged import ranges
from hemix.features.parts import Match

NO_MATCH = -1
"""Seconds since the latest match where there is none; an event of inexact time says the same."""


@dataclass(frozen=True, kw_only=True)
class Lists:
    """Sequences, oldest event first.

    Args:
        offsets: int64 ``[lists + 1]``.
        values: int64 ``[events]``, numbered as the candidates'.
        gaps: int64 ``[events]``, seconds before the request.
    """

    offsets: Ints
    values: Ints
    gaps: Ints


def matched(
    lists: Lists, rows: Ints, candidates: Ints, *, last: Sequence[int]
) -> tuple[Ints, dict[int, Ints], Ints]:
    """Compare each candidate with the events of its list.

    Args:
        lists: values and gaps of the events of each list.
        rows: int64 ``[queries]``, which list each reads.
        candidates: int64 ``[queries]``; -1 is a missing value, which matches nothing.
        last: also count among the last 1, 5, ... events.

    Returns:
        int64 ``[queries]`` each: matches in the whole list, in the last ones, and the seconds since
        the latest.
    """
    queries = len(candidates)
    lengths = np.diff(lists.offsets)[rows]
    places = ranges(lists.offsets[:-1][rows], lengths)
    owners = np.repeat(np.arange(queries), lengths)
    wanted = candidates[owners]
    hits = np.flatnonzero((lists.values[places] == wanted) & (wanted >= 0))
    places, owners = places[hits], owners[hits]
    from_end = lists.offsets[1:][rows][owners] - places
    latest = np.ones(len(hits), np.bool_)
    latest[:-1] = owners[1:] != owners[:-1]
    since = np.full(queries, NO_MATCH, np.int64)
    since[owners[latest]] = lists.gaps[places[latest]]
    among = {n: np.bincount(owners[from_end <= n], minlength=queries) for n in last}
    return np.bincount(owners, minlength=queries), among, since


def match_columns(
    match: Match, sequence: str, lists: Lists, rows: Ints, candidates: Ints
) -> dict[str, Ints]:
    """The columns of a match in one sequence, by name.

    Args:
        match: what is compared, and which counts are made.
        sequence: name of the sequence.
        lists: values and gaps of the events of each list.
        rows: int64 ``[queries]``, which list each reads.
        candidates: int64 ``[queries]``; -1 is a missing value, which matches nothing.
    """
    whole, among, since = matched(lists, rows, candidates, last=match.last)
    return {
        match.count(sequence): whole,
        **{match.count(sequence, n): values for n, values in among.items()},
        match.since(sequence): since,
    }
