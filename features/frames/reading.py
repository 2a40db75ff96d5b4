"""Data frames of raw rows, made into the table that a transform is applied to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from hemix.errors import DataError
from hemix.features.schema import MISSING_INT
from hemix.features.sources.arrow_types import Role, element, elements, plain, refusal
from hemix.features.sources.conversions import to_category, to_number
from hemix.features.sources.place import Place
from hemix.features.transform_plan import RawColumn

_NAMES = {"int": "whole number", "string": "text", "float": "number"}


def type_name(column: RawColumn) -> str:
    """What values a column holds, in words."""
    name = _NAMES[column.kind]
    return f"list of {name}s" if column.ragged else name


def as_table(frame: Any, needed: Sequence[RawColumn]) -> pa.Table:
    """The ``needed`` columns of a pandas, polars or Arrow frame, in the transform's own types.

    Values are read by the rules of ingest (:mod:`hemix.features.sources.conversions`): whole numbers
    that became floats beside a missing value are whole again, categories are their values, and what
    could lose a digit is refused.

    Raises:
        DataError: it is no frame, columns are absent (all are named), or a column holds what would
            have to be guessed; the message names the column, the row and the value.
    """
    present = column_names(frame)
    if missing := [column for column in needed if column.name not in present]:
        named = ", ".join(f"{column.name} ({type_name(column)})" for column in missing)
        raise DataError(
            f"The frame lacks {len(missing)} of {len(needed)} columns: {named}.",
            hint="Give raw rows, as build_examples writes them; missing values may be null.",
        )
    columns = [_column(frame, column) for column in needed]
    return pa.table(columns, names=[column.name for column in needed])


def like(frame: Any, columns: Mapping[str, npt.NDArray[np.float32]]) -> Any:
    """``columns`` as the same kind of frame as ``frame``; a pandas index is kept."""
    if isinstance(frame, pa.Table | pa.RecordBatch):
        return pa.table(dict(columns))
    if _library(frame) == "pandas":
        return type(frame)(dict(columns), index=frame.index)
    return type(frame)(dict(columns))


def _library(frame: Any) -> str:
    return type(frame).__module__.partition(".")[0]


def column_names(frame: Any) -> set[str]:
    """Names of the columns of a pandas, polars or Arrow frame.

    Raises:
        DataError: it is no frame, or two columns are called the same.
    """
    if isinstance(frame, pa.Table | pa.RecordBatch):
        names = list(frame.schema.names)
    elif _library(frame) in ("pandas", "polars") and hasattr(frame, "columns"):
        names = [str(name) for name in frame.columns]
    else:
        raise DataError(
            f"{type(frame).__name__} is not a frame of raw rows.",
            hint="Give a pandas or polars DataFrame or a pyarrow Table.",
        )
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"The frame has several columns called {', '.join(twice)}.")
    return set(names)


def _column(frame: Any, column: RawColumn) -> pa.Array:
    place = Place(key="predict", column=column.name, url="the frame")
    array = arrow_column(frame, column.name, type_name(column))
    if not column.ragged:
        return _values(array, column, place)
    if element(array.type) is None:
        raise place.error(f"holds {array.type}, not lists", f"Give each row a {type_name(column)}.")
    inside, lengths = elements(array)
    offsets = np.concatenate([[0], np.cumsum(lengths.to_numpy(zero_copy_only=False))])
    values = _values(inside, column, place)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), values)


def arrow_column(frame: Any, name: str, what: str) -> pa.Array | pa.ChunkedArray:
    """One column as Arrow has it; NaN of a pandas column is null.

    Raises:
        DataError: it holds values of several types; ``what`` says what each should be.
    """
    if isinstance(frame, pa.Table | pa.RecordBatch):
        return frame.column(name)
    if _library(frame) == "polars":
        return frame.get_column(name).to_arrow()
    try:
        return pa.Array.from_pandas(frame[name])
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise DataError(
            f"The frame's column {name!r} holds values of several types ({error}).",
            hint=f"Make every value a {what}, or missing.",
        ) from error


def _values(array: pa.Array | pa.ChunkedArray, column: RawColumn, place: Place) -> pa.Array:
    role: Role = "number" if column.kind == "float" else "category"
    if problem := refusal(array.type, role):
        raise place.error(*problem)
    series = plain(array, place)
    if column.kind == "float":
        return to_number(series, place).to_arrow()
    if column.kind == "string":
        return to_category(series, "string", place).to_arrow().cast(pa.string())
    if series.dtype == pl.Int64:  # tables of examples hold this number where a value is missing
        series = series.replace(MISSING_INT, None)
    return to_category(series, "int64", place).to_arrow()
