"""Two columns bit for bit: which rows differ, and what stands there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hemix.features.transform.columns import Column


def from_arrow(array: pa.Array | pa.ChunkedArray) -> Column:
    """An example's column as it would be served: int64, float64 or object, lists as a pair."""
    if isinstance(array, pa.ChunkedArray):
        array = array.combine_chunks()
    if pa.types.is_list(array.type):
        offsets = array.offsets.to_numpy().astype(np.int64)
        values = from_arrow(array.flatten())
        assert not isinstance(values, tuple)
        return values, offsets - offsets[0]
    if pa.types.is_string(array.type):
        return array.to_numpy(zero_copy_only=False).astype(object)
    return array.to_numpy(zero_copy_only=False)


def repeat(column: Column, rows: int) -> Column:
    """A column of one row, ``rows`` times."""
    if isinstance(column, tuple):
        values, _ = column
        return np.tile(values, rows), np.arange(rows + 1, dtype=np.int64) * len(values)
    return np.repeat(column, rows)


def concatenate(columns: Sequence[Column]) -> Column:
    """Columns one after the other."""
    if not isinstance(columns[0], tuple):
        return np.concatenate([c for c in columns if not isinstance(c, tuple)])
    pairs = [c for c in columns if isinstance(c, tuple)]
    lengths = np.concatenate([np.diff(offsets) for _, offsets in pairs])
    values = np.concatenate([v for v, _ in pairs])
    return values, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def differing_rows(one: Column, other: Column) -> np.ndarray:
    """Rows (ascending) whose values differ in type or in any bit; every NaN is the same NaN."""
    if isinstance(one, tuple) != isinstance(other, tuple):
        return np.arange(_rows(one))
    if not isinstance(one, tuple) or not isinstance(other, tuple):
        return np.flatnonzero(_unequal(np.asarray(one), np.asarray(other)))
    (values, offsets), (other_values, other_offsets) = one, other
    lengths, other_lengths = np.diff(offsets), np.diff(other_offsets)
    same = lengths == other_lengths
    mine, theirs = np.repeat(same, lengths), np.repeat(same, other_lengths)
    unequal = _unequal(values[mine], other_values[theirs])
    owner = np.repeat(np.arange(len(lengths)), lengths)[mine]
    return np.union1d(np.flatnonzero(~same), owner[unequal])


def value_at(column: Column, row: int) -> Any:
    """The value of a row as Python would print it; a list for list columns."""
    if isinstance(column, tuple):
        values, offsets = column
        return values[offsets[row] : offsets[row + 1]].tolist()
    return column[row : row + 1].tolist()[0]


def _rows(column: Column) -> int:
    return len(column[1]) - 1 if isinstance(column, tuple) else len(column)


def _unequal(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    assert one.shape == other.shape, "compare columns of the same rows"
    if one.dtype != other.dtype:
        return np.ones(len(one), dtype=bool)
    if one.dtype.kind != "f":
        return np.asarray(one != other, dtype=bool)
    bits = f"i{one.dtype.itemsize}"
    return (one.view(bits) != other.view(bits)) & ~(np.isnan(one) & np.isnan(other))
