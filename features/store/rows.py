"""What comes out of the online store: protobuf values as rows, rows as columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from hemix.features.feature_views import ViewSpec

Row = tuple[Any, ...]


@dataclass(frozen=True, kw_only=True)
class OnlineRows:
    """Features of N keys, in the order they were asked for.

    ``columns``: int64, float64 or object (string) ``[N]``; a list feature is an object array of N
    arrays. ``known`` is bool ``[N]``; unknown keys hold the defaults of the feature contract.
    """

    keys: np.ndarray
    known: np.ndarray
    columns: Mapping[str, np.ndarray]


def reader(kind: pa.DataType, default: Any) -> Callable[[Any], Any]:
    """How a feature of type ``kind`` is read from Feast's ``Value``; an unset one is ``default``."""
    if pa.types.is_list(kind):
        field = "string_list_val" if pa.types.is_string(kind.value_type) else "int64_list_val"
        dtype: Any = object if pa.types.is_string(kind.value_type) else np.int64
        if pa.types.is_floating(kind.value_type):
            field, dtype = "double_list_val", np.float64
        return lambda value: _array(getattr(value, field).val, dtype)
    if pa.types.is_floating(kind):
        field = "double_val"
    else:
        field = "string_val" if pa.types.is_string(kind) else "int64_val"
    return lambda value: getattr(value, field) if value.HasField(field) else default


def empty(kind: pa.DataType, default: Any) -> Any:
    """The value of a feature for a key that the store does not know."""
    if pa.types.is_list(kind):
        return _array((), column_dtype(kind.value_type))
    return default


def column_dtype(kind: pa.DataType) -> Any:
    """numpy type of a column: int64, float64, or object for strings and lists."""
    if pa.types.is_floating(kind):
        return np.float64
    return np.int64 if pa.types.is_integer(kind) else object


def columns_of(specs: Sequence[ViewSpec], rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """Turn N rows (features of all ``specs`` in order) into columns ``[N]``."""
    names = [(name, kind) for spec in specs for name, kind in spec.columns.items()]
    columns = {}
    for (name, kind), values in zip(names, zip(*rows, strict=True), strict=True):
        columns[name] = _array(values, column_dtype(kind))
    return columns


def _array(values: Sequence[Any], dtype: Any) -> np.ndarray:
    if dtype is not object:
        return np.array(values, dtype=dtype)
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
