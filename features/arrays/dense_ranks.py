"""Values as numbers: joint dense ranks for sorting and grouping, and hashes for sharding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemix.features.schema import MISSING_INT, MISSING_STRING

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


def flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One contiguous Arrow array."""
    if isinstance(column, pa.ChunkedArray):
        return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    return column


def integers(column: pa.Array | pa.ChunkedArray) -> Ints:
    """An int64 or timestamp column as int64 (timestamps: milliseconds), without copying."""
    array = flat(column)
    if pa.types.is_timestamp(array.type):
        array = array.view(pa.int64())
    return array.to_numpy(zero_copy_only=False).astype(np.int64, copy=False)


def ranks(columns: Sequence[pa.Array | pa.ChunkedArray]) -> tuple[list[Ints], int]:
    """Dense ranks of the values of several columns of one type, in one numbering.

    Returns:
        For each column int64 ranks ``[rows]`` in ``[0, distinct)`` that order as the values do
        (text by code point), and ``distinct``.
    """
    arrays = [flat(column) for column in columns]
    joined = pa.concat_arrays(arrays) if len(arrays) > 1 else arrays[0]
    if pa.types.is_string(joined.type):
        encoded = joined.dictionary_encode()
        distinct = len(encoded.dictionary)
        order = pc.sort_indices(encoded.dictionary).to_numpy()
        rank = np.empty(distinct, np.int64)
        rank[order] = np.arange(distinct)
        inverse = rank[encoded.indices.to_numpy()]
    else:
        values, inverse = np.unique(joined.to_numpy(zero_copy_only=False), return_inverse=True)
        distinct = len(values)
    ends = np.cumsum([len(array) for array in arrays])[:-1]
    return [np.asarray(part, np.int64) for part in np.split(inverse, ends)], distinct


def present(column: pa.Array | pa.ChunkedArray) -> Bools:
    """True where a value is not the missing value of its type."""
    array = flat(column)
    if pa.types.is_string(array.type):
        return pc.not_equal(array, MISSING_STRING).to_numpy(zero_copy_only=False)
    values = array.to_numpy(zero_copy_only=False)
    if pa.types.is_floating(array.type):
        return ~np.isnan(values)
    return values != MISSING_INT


def shards_of(column: pa.Array | pa.ChunkedArray, shards: int) -> npt.NDArray[np.int64]:
    """The shard ``[rows]`` in ``[0, shards)`` of each value: a hash that is the same everywhere."""
    from pandas.util import hash_array

    array = flat(column)
    if pa.types.is_string(array.type):
        encoded = array.dictionary_encode()
        texts = encoded.dictionary.to_numpy(zero_copy_only=False)
        hashes = hash_array(texts, categorize=False)[encoded.indices.to_numpy()]
    else:
        hashes = hash_array(array.to_numpy(zero_copy_only=False))
    return (hashes % np.uint64(shards)).astype(np.int64)
