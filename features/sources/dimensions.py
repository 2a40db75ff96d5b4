"""Attributes of users and items as they were known at a time."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.errors import DataError
from hemix.features.arrays.dense_ranks import Ints, flat, integers
from hemix.features.arrays.gather import compact
from hemix.features.arrays.time_index import TimeIndex
from hemix.features.schema import MISSING_INT, MISSING_STRING


def fill_missing(array: pa.Array) -> pa.Array:
    """Nulls replaced by the missing value of the type; times stay null."""
    if not array.null_count or pa.types.is_timestamp(array.type):
        return array
    if pa.types.is_string(array.type):
        return array.fill_null(MISSING_STRING)
    if pa.types.is_floating(array.type):
        return array.fill_null(float("nan"))
    return array.fill_null(MISSING_INT)


class Dimension:
    """A table of attributes with ``valid_from``; small enough to hold in memory.

    Args:
        table: id column, attributes, ``valid_from``; several rows an id are versions of it.
        key: name of the id column.
    """

    def __init__(self, table: pa.Table, key: str) -> None:
        others = [name for name in table.column_names if name not in (key, "valid_from")]
        keys = [(name, "ascending") for name in (key, "valid_from", *others)]
        self.table = table.take(pc.sort_indices(table, sort_keys=keys)).combine_chunks()
        self.key = key
        encoded = flat(self.table[key]).dictionary_encode()
        self.ids = encoded.dictionary
        groups = encoded.indices.to_numpy().astype(np.int64)
        self._valid_from = integers(self.table["valid_from"])
        self._padded: dict[str, pa.Array] = {}
        self._index = TimeIndex(groups, self._valid_from, len(self.ids))

    def rows(self, ids: pa.Array | pa.ChunkedArray, times: Ints) -> Ints:
        """Row ``[n]`` of each id's latest version with ``valid_from <= time``; -1 when none."""
        if not len(self.ids):
            return np.full(len(times), -1, np.int64)
        found = pc.index_in(flat(ids), value_set=self.ids).fill_null(-1)
        groups = found.to_numpy().astype(np.int64)
        starts = self._index.starts[np.maximum(groups, 0)]  # -1: an unknown id
        if len(self.ids) == self.table.num_rows:
            return np.where((groups >= 0) & (self._valid_from[starts] <= times), starts, -1)
        last = self._index.before(groups, times + 1) - 1
        return np.where((groups >= 0) & (last >= starts), last, -1)

    def take(self, name: str, rows: Ints) -> pa.Array:
        """Values of a column at ``rows``; the missing value where the row is -1."""
        column = flat(self.table[name])
        if not (rows < 0).any():
            return fill_missing(column.take(pa.array(rows)))
        return fill_missing(column.take(pa.array(rows, mask=rows < 0)))

    def spread(self, name: str, rows: npt.NDArray[np.integer[Any]]) -> pa.Array:
        """As :meth:`take`, for many more rows than the table has: text comes as a dictionary."""
        if name not in self._padded:
            column = pa.concat_arrays(
                [self.take(name, np.arange(len(self._valid_from))), self.take(name, np.array([-1]))]
            )
            self._padded[name] = (
                column.dictionary_encode() if pa.types.is_string(column.type) else column
            )
        padded = self._padded[name]
        # Row -1 is the last one: the missing value.
        if isinstance(padded, pa.DictionaryArray):
            return compact(padded.indices.to_numpy()[rows], padded.dictionary)
        return pa.array(padded.to_numpy()[rows])


@lru_cache(maxsize=4)
def load_dimension(path: Path, schema: pa.Schema, key: str) -> Dimension:
    """The dimension stored in a folder of Parquet files, read once per process.

    Raises:
        DataError: the folder cannot be read with this schema; names it.
    """
    try:
        table = pq.read_table(path, schema=schema) if any(path.glob("*.parquet")) else None
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path}: cannot read the dimension ({error}).") from error
    return Dimension(schema.empty_table() if table is None else table, key)
