"""Columns between Arrow and numpy: what the graph is fed with and what it returns."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.errors import DataError, StorageError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import MISSING_INT, TIME
from hemix.features.split import Window
from hemix.features.transform_plan import Kind, RawColumn

Array: TypeAlias = npt.NDArray[np.generic]
Column: TypeAlias = Array | tuple[Array, npt.NDArray[np.int64]]
"""One value a row [rows], or ``(values, offsets int64[rows + 1])`` of a list column."""
ARROW: dict[Kind, pa.DataType] = {"int": pa.int64(), "string": pa.string(), "float": pa.float64()}
MISSING = {"int": MISSING_INT, "string": "", "float": float("nan")}


def _values(array: pa.Array, kind: Kind) -> Array:
    if array.type != ARROW[kind]:
        array = array.cast(ARROW[kind])
    if array.null_count:
        array = pc.fill_null(array, MISSING[kind])
    return array.to_numpy(zero_copy_only=False)


def raw_columns(table: pa.Table | pa.RecordBatch, raw: tuple[RawColumn, ...]) -> dict[str, Column]:
    """The graph's inputs from Arrow; nulls become missing values.

    Raises:
        DataError: a column is absent or of a type that does not convert; the message names it.
    """
    columns: dict[str, Column] = {}
    for column in raw:
        if column.name not in table.schema.names:
            raise DataError(
                f"Column {column.name!r} is missing.",
                hint="Give the table that build_examples writes for the same definition.",
            )
        array = table.column(column.name)
        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
        try:
            if column.ragged:
                offsets = array.offsets.to_numpy().astype(np.int64)
                columns[column.name] = (_values(array.flatten(), column.kind), offsets - offsets[0])
            else:
                columns[column.name] = _values(array, column.kind)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError, AttributeError) as error:
            raise DataError(
                f"Column {column.name!r} is {array.type}, not {column.kind}"
                f"{' lists' if column.ragged else ''} ({error})."
            ) from error
    return columns


def to_arrow(column: Column) -> pa.Array:
    """A transformed column as an Arrow array: int32, float32 or list<int32>."""
    if isinstance(column, tuple):
        values, offsets = column
        return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values))
    return pa.array(column)


def example_files(examples: Path) -> list[Path]:
    """The Parquet files of an examples artifact, in time order.

    Raises:
        DataError: there are none.
    """
    files = sorted(examples.glob("day=*/*.parquet"))
    if not files:
        raise DataError(
            f"{examples}: no day=*/*.parquet.", hint="Give the folder that build_examples wrote."
        )
    return files


def column_names(file: Path) -> list[str]:
    """Names of a Parquet file's columns.

    Raises:
        StorageError: the file is truncated or not Parquet.
    """
    try:
        return list(pq.read_schema(file).names)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> StorageError:
    return StorageError(f"{file}: cannot read ({error}).", hint="Build the examples again.")


def day_may_hold(file: Path, window: Window) -> bool:
    """False when the file's day lies outside the window."""
    day = file.parent.name.removeprefix("day=")
    return window.start.date().isoformat() <= day <= window.end.date().isoformat()


def in_window(batch: pa.RecordBatch, window: Window) -> pa.RecordBatch:
    """The rows whose event_time is in ``[start, end)``."""
    time = batch.column("event_time")
    if time.type != TIME:
        time = time.cast(TIME)
    inside = pc.and_(
        pc.greater_equal(time, pa.scalar(window.start, TIME)),
        pc.less(time, pa.scalar(window.end, TIME)),
    )
    return batch.filter(inside)


def read_batches(
    file: Path, window: Window, rows: int, columns: list[str] | None = None
) -> Iterator[pa.RecordBatch]:
    """Record batches of at most ``rows`` rows of one file inside a window; never empty ones.

    Raises:
        StorageError: the file is truncated or not Parquet.
    """
    if columns is not None:
        columns = list(dict.fromkeys([*columns, "event_time"]))
    try:
        with pq.ParquetFile(file) as parquet:
            for batch in parquet.iter_batches(rows, columns=columns):
                if (kept := in_window(batch, window)).num_rows:
                    yield kept
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(file, error) from error


def split_windows(definition: DatasetDefinition) -> dict[str, Window]:
    """The split's windows in order: train, validation, test."""
    windows = definition.split.windows()
    return {name: windows[name] for name in ("train", "validation", "test")}
