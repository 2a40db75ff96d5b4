"""The offline rows of every feature view: state and dimensions as of one instant."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.errors import DataError, StorageError
from hemix.features.definition import DatasetDefinition
from hemix.features.feature_views import LISTED, TIMESTAMP, ViewSpec, view_specs
from hemix.features.schema import TIME, ColumnTypes, items_schema, users_schema
from hemix.features.sources.dimensions import Dimension, load_dimension


def view_tables(
    definition: DatasetDefinition,
    types: ColumnTypes,
    *,
    events: Path,
    state: Path,
    as_of: datetime,
) -> dict[str, pa.Table]:
    """``view name -> table`` (key, features, ``as_of``), sorted by key, no nulls.

    Args:
        definition: the data set definition.
        types: what ids and values are stored as.
        events: the events artifact; its ``users`` and ``items`` are the dimensions.
        state: folder with ``users.parquet`` and ``items.parquet`` (``hemix.features.examples.as_of``) at ``as_of``.
        as_of: the instant of the rows.

    Raises:
        StorageError: a file is missing or not Parquet.
        DataError: the state is of another instant, or lacks a column.
    """
    stamp = pa.scalar(as_of, TIME)
    schemas = {"user": users_schema(definition, types), "item": items_schema(definition, types)}
    states, tables = {}, {}
    for spec in view_specs(definition, types):
        if spec.entity not in states:
            table = _read(state / f"{spec.entity}s.parquet")
            if table.num_rows and not pc.all(pc.equal(table[TIMESTAMP], stamp)).as_py():
                raise DataError(f"{state}: {spec.entity}s.parquet is not as of {as_of}.")
            states[spec.entity] = table.sort_by(spec.key)
        keys = states[spec.entity][spec.key].combine_chunks()
        if spec.base.endswith("_profile"):
            folder = events / f"{spec.entity}s"
            dimension = load_dimension(folder, schemas[spec.entity], spec.key)
            columns = _profile(spec, keys, dimension, stamp.value)
        else:
            columns = {name: _column(states[spec.entity], name, state) for name in spec.columns}
        tables[spec.name] = pa.table(
            {spec.key: keys, **columns, TIMESTAMP: pa.repeat(stamp, len(keys))}
        )
    return tables


def _profile(
    spec: ViewSpec, keys: pa.Array, dimension: Dimension, as_of_ms: int
) -> dict[str, pa.Array]:
    """The attributes of ``keys`` by the latest dimension row that is valid at ``as_of_ms``."""
    listed = LISTED[spec.entity]
    if list(spec.columns) == [listed]:
        return {listed: pa.repeat(pa.scalar(1, pa.int64()), len(keys))}
    rows = dimension.rows(keys, np.full(len(keys), as_of_ms, np.int64))
    return {
        name: pc.fill_null(
            dimension.take(name, rows).cast(kind), pa.scalar(spec.default(name), kind)
        )
        for name, kind in spec.columns.items()
    }


def _column(table: pa.Table, name: str, state: Path) -> pa.Array:
    if name not in table.column_names:
        raise DataError(f"{state}: the state lacks the column {name!r}.")
    return table[name].combine_chunks()


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(f"{path}: not readable as Parquet ({error}).") from error
