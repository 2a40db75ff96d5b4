"""Exact repeats count once; rows that share a key but differ become one row."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from hemix.errors import DataError
from hemix.features.schema import MISSING_INT, MISSING_STRING

EXACT_AT_MOST = 0.5
"""Share of rows that may repeat another in every column: a log delivered twice is half repeats."""


@dataclass
class Repeats:
    """What was dropped: rows equal in every column, keys whose rows differed, and their rows.

    ``repeated`` and ``clashing`` are the first keys of each kind, by name.
    """

    exact: int = 0
    conflicts: int = 0
    differing: int = 0
    repeated: dict[str, Any] | None = None
    clashing: dict[str, Any] | None = None

    @property
    def merged(self) -> int:
        """Rows that became part of another that differs from them."""
        return self.differing - self.conflicts

    def require_few(self, rows: int, at_most: float) -> None:
        """Refuse a log of which too much would vanish.

        Args:
            rows: how many were read.
            at_most: share of them that may be merged.

        Raises:
            DataError: more were; or more than :data:`EXACT_AT_MOST` (and ``at_most``) repeat another.
        """
        share, limit = self.merged / rows, at_most
        what, example = "would be merged with others that differ from them", self.clashing
        if share <= limit:
            share, limit = self.exact / rows, max(at_most, EXACT_AT_MOST)
            what, example = "repeat another row in every column", self.repeated
        if share <= limit:
            return
        raise DataError(
            f"interactions: {share:.1%} of {rows:,} rows {what}, because they have the same request, "
            f"user, item and time, such as {key_shown(example or {})}; at most {limit:.0%} may.",
            hint="Are the times coarser than the events? Give columns.event_time its seconds, or "
            "columns.request_id an id of its own a request; where rows are meant to be joined (an "
            "impression and its click, a log delivered several times) set repeats_at_most: "
            f"{min(1.0, math.ceil(share * 100) / 100):g}.",
        )


def key_shown(key: dict[str, Any]) -> str:
    """``user_id 7, item_id 'a', event_time ...``; a request id that the log has not is left out."""
    made = f"{key.get('user_id')}-{key.get('event_time')}"
    told = {name: value for name, value in key.items() if value not in ("", made)}
    if (time := told.get("event_time")) is not None:
        moment = datetime.fromtimestamp(time / 1000, UTC).isoformat(timespec="milliseconds")
        told["event_time"] = moment.replace("+00:00", "Z")
    return ", ".join(
        f"{name} {value if name == 'event_time' else repr(value)[:80]}"
        for name, value in told.items()
    )


def one_row_a_key(
    frame: pl.DataFrame, keys: list[str], maximum: list[str], counts: Repeats
) -> pl.DataFrame:
    """One row for each value of ``keys``, whatever the order of ``frame``'s rows.

    Of rows that share a key, ``maximum`` columns keep their greatest value and every other column
    that of the row that sorts first among those that hold one: the click's row may lack what the
    impression's says. Adds to ``counts``.
    """
    unique = frame.unique()
    counts.exact += frame.height - unique.height
    if counts.repeated is None and unique.height < frame.height:
        counts.repeated = frame.filter(frame.is_duplicated()).select(keys).row(0, named=True)
    repeated = unique.select(keys).is_duplicated()
    if not repeated.any():
        return unique
    others = [name for name in frame.columns if name not in (*keys, *maximum)]
    clashing = unique.filter(repeated).sort(frame.columns, nulls_last=True)
    merged = clashing.group_by(keys, maintain_order=True).agg(
        *(_first_known(name, clashing.schema[name]) for name in others),
        *(pl.col(name).max() for name in maximum),
    )
    counts.conflicts += merged.height
    counts.differing += clashing.height
    counts.clashing = counts.clashing or clashing.select(keys).row(0, named=True)
    return pl.concat([unique.filter(~repeated), merged.select(frame.columns)])


def _first_known(name: str, dtype: pl.DataType) -> pl.Expr:
    """The first value of a column that is not missing, else its first."""
    column = pl.col(name)
    known = column.is_not_null()
    if dtype == pl.String:
        known &= column != MISSING_STRING
    elif dtype == pl.Int64:
        known &= column != MISSING_INT
    elif dtype.is_float():
        known &= ~column.is_nan()
    return pl.coalesce(column.filter(known).first(), column.first())
