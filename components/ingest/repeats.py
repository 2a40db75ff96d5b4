"""Exact repeats count once; rows that share a key but differ become one row."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl


@dataclass
class Repeats:
    """What was dropped: rows equal in every column, keys whose rows differed, and their rows."""

    exact: int = 0
    conflicts: int = 0
    differing: int = 0


def one_row_a_key(
    frame: pl.DataFrame, keys: list[str], maximum: list[str], counts: Repeats
) -> pl.DataFrame:
    """One row for each value of ``keys``, whatever the order of ``frame``'s rows.

    Of rows that share a key, ``maximum`` columns keep their greatest value and every other column
    the one of the row that sorts first. Adds to ``counts``.
    """
    unique = frame.unique()
    counts.exact += frame.height - unique.height
    repeated = unique.select(keys).is_duplicated()
    if not repeated.any():
        return unique
    others = [name for name in frame.columns if name not in (*keys, *maximum)]
    clashing = unique.filter(repeated).sort(frame.columns, nulls_last=True)
    merged = clashing.group_by(keys, maintain_order=True).agg(
        *(pl.col(name).first() for name in others), *(pl.col(name).max() for name in maximum)
    )
    counts.conflicts += merged.height
    counts.differing += clashing.height
    return pl.concat([unique.filter(~repeated), merged.select(frame.columns)])
