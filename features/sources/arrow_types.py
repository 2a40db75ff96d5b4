"""Where Arrow's types meet ours: what each can be read as, what it becomes, and the mend if it cannot.

Every Arrow type belongs to one family. :func:`refusal` says whether a column of that family can
play a role; :func:`plain` makes a polars column of a type that polars has, with the same values.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from hemix.features.sources.place import Place

Role = Literal["id", "category", "number", "time", "label"]
Family = Literal[
    "null",
    "boolean",
    "integer",
    "float",
    "decimal",
    "text",
    "bytes",
    "uuid",
    "date",
    "timestamp",
    "clock",
    "span",
    "list",
    "nested",
    "foreign",
]

_VALUES: frozenset[Family] = frozenset(
    {"null", "boolean", "integer", "float", "decimal", "text", "bytes"}
)
_FLAGS: frozenset[Family] = frozenset({"boolean"})
_DATES: frozenset[Family] = frozenset({"date", "timestamp"})
_NAMES: frozenset[Family] = _VALUES | _DATES | frozenset[Family]({"uuid"})
_READ: dict[Role, frozenset[Family]] = {
    "id": _NAMES,
    "category": _NAMES,
    "number": _VALUES,
    "label": _VALUES,
    "time": _VALUES - _FLAGS | _DATES,
}
_ROLES: dict[Role, str] = {
    "id": "an id",
    "category": "a category",
    "number": "numbers",
    "time": "times",
    "label": "0/1 labels",
}
_PLAIN = "Write it as whole numbers, numbers, text or timestamps before the log is read."
_MENDS: dict[Family, str] = {
    "boolean": "Give a timestamp, an epoch number or ISO text.",
    "uuid": "List it under `categorical`, or take another column.",
    "date": "List it under `categorical`, or write it as a number of days.",
    "timestamp": "List it under `categorical`, or write it as a number.",
    "clock": "Write the time of day as a number (seconds since midnight) or as text.",
    "span": "Write the length of time as a number of seconds.",
    "list": "Take an element of it (`genres[1]`, with the column under `lists`), or name the column under "
    "`explode`: a row an element.",
    "nested": "Write the member that is meant as a column of its own.",
    "foreign": _PLAIN,
}
_UUID_PARTS = ((0, 8), (8, 4), (12, 4), (16, 4), (20, 12))
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}


def family(kind: pa.DataType) -> Family:
    """The family of any Arrow type; a dictionary or run-end encoded type has that of its values."""
    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return family(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _extension(kind)
    tests: tuple[tuple[Family, bool], ...] = (
        ("null", types.is_null(kind)),
        ("boolean", types.is_boolean(kind)),
        ("integer", types.is_integer(kind)),
        ("float", types.is_floating(kind)),
        ("decimal", types.is_decimal(kind)),
        ("text", _is_text(kind)),
        ("bytes", _is_bytes(kind)),
        ("date", types.is_date(kind)),
        ("timestamp", types.is_timestamp(kind)),
        ("clock", types.is_time(kind)),
        ("span", types.is_duration(kind) or types.is_interval(kind)),
        ("list", element(kind) is not None),
        ("nested", types.is_nested(kind)),
    )
    return next((name for name, holds in tests if holds), "foreign")


def _extension(kind: pa.BaseExtensionType) -> Family:
    if isinstance(kind, pa.UuidType):
        return "uuid"
    if isinstance(kind, pa.Bool8Type):
        return "boolean"
    return "text" if isinstance(kind, pa.JsonType) else "foreign"


def _is_text(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_string(kind) or types.is_large_string(kind) or types.is_string_view(kind)


def _is_bytes(kind: pa.DataType) -> bool:
    types = pa.types
    return (
        types.is_binary(kind)
        or types.is_large_binary(kind)
        or types.is_binary_view(kind)
        or types.is_fixed_size_binary(kind)
    )


def element(kind: pa.DataType) -> pa.DataType | None:
    """The type of a list's elements; None where the type is no list (a map is none)."""
    types = pa.types
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return element(kind.value_type)
    if types.is_null(kind):
        return kind
    lists = (
        types.is_list,
        types.is_large_list,
        types.is_fixed_size_list,
        types.is_list_view,
        types.is_large_list_view,
    )
    return kind.value_type if any(is_list(kind) for is_list in lists) else None


def refusal(kind: pa.DataType, role: Role) -> tuple[str, str] | None:
    """What is wrong with a column of this type in this role, and the mend; None when it is read."""
    found = family(kind)
    if found in _READ[role]:
        return None
    return f"holds {kind}, which cannot be {_ROLES[role]}", _MENDS[found]


def decoded(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array without dictionaries, run ends, views and extension types (but uuid); same values.

    Lists become ``large_list``; their elements are as they were.
    """
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    kind, types = array.type, pa.types
    if types.is_run_end_encoded(kind):
        rows = np.arange(array.offset, array.offset + len(array))
        runs = np.searchsorted(array.run_ends.to_numpy(), rows, side="right")
        return decoded(array.values).take(pa.array(runs))
    if types.is_dictionary(kind):
        return decoded(decoded(array.dictionary).take(array.indices.cast(pa.int64())))
    if isinstance(kind, pa.Bool8Type):
        return array.storage.cast(pa.bool_())
    if isinstance(kind, pa.JsonType):
        return decoded(array.storage)
    if types.is_string_view(kind):
        return array.cast(pa.large_string())
    if types.is_binary_view(kind):
        return array.cast(pa.large_binary())
    inner = element(kind)
    if inner is None or types.is_null(kind) or types.is_large_list(kind):
        return array
    ends = np.cumsum(pc.list_value_length(array).fill_null(0).to_numpy(zero_copy_only=False))
    offsets = pa.array(np.concatenate([[0], ends]).astype(np.int64))
    return pa.LargeListArray.from_arrays(offsets, pc.list_flatten(array), mask=array.is_null())


def elements(column: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, pa.Array]:
    """All elements of a list column in order, and each row's number of them (0 where missing)."""
    array = decoded(column)
    if pa.types.is_null(array.type):
        return pa.nulls(0), pa.repeat(pa.scalar(0, pa.int64()), len(array))
    return pc.list_flatten(array), pc.list_value_length(array).fill_null(0).cast(pa.int64())


def plain(column: pa.Array | pa.ChunkedArray, place: Place) -> pl.Series:
    """The column in polars: Null, Boolean, an integer, a float, Decimal, String, Date or Datetime.

    Datetimes have no zone and are UTC. Bytes and UUIDs are text. Decimals are Int64 where all of
    them are whole and fit, else Decimal, else their digits as text.

    Raises:
        DataError: bytes that are no UTF-8 text, or values that Arrow cannot convert.
    """
    try:
        return _plain(decoded(column), place)
    except pa.ArrowException as error:
        first = str(error).splitlines()[0].rstrip(".")
        raise place.error(f"holds {column.type}, which cannot be read ({first})", _PLAIN) from error


def _plain(array: pa.Array, place: Place) -> pl.Series:
    found = family(array.type)
    if found == "decimal":
        return _decimal(array)
    if found in ("text", "bytes"):
        return _text(array, place)
    if found == "uuid":
        return _uuid(array.storage)
    if found == "timestamp":
        return _timestamp(array, place)
    if found == "date":
        return pl.Series(pl.from_arrow(array.cast(pa.date32(), safe=False)))
    return pl.Series(pl.from_arrow(array))


def _decimal(array: pa.Array) -> pl.Series:
    scale = max(0, array.type.scale)
    wide = array.cast(pa.decimal256(76, min(scale, 76)))
    try:
        return pl.Series(
            pl.from_arrow(wide.cast(pa.decimal128(38, min(scale, 38))).cast(pa.int64()))
        )
    except pa.ArrowInvalid:
        pass
    try:
        return pl.Series(pl.from_arrow(wide.cast(pa.decimal128(38, min(scale, 38)))))
    except pa.ArrowInvalid:
        return pl.Series(pl.from_arrow(wide.cast(pa.large_string()))).str.replace(r"\.0*$", "")


def _text(array: pa.Array, place: Place) -> pl.Series:
    """Text, checked to be UTF-8: a Parquet file can call any bytes text."""
    data = array.cast(pa.large_binary())
    try:
        return pl.Series(pl.from_arrow(data.cast(pa.large_string())))
    except pa.ArrowInvalid:
        for row, value in enumerate(data.to_pylist()):
            try:
                (value or b"").decode()
            except UnicodeDecodeError:
                raise place.at(row).error(
                    f"holds {value[:40]!r}, bytes that are no UTF-8 text",
                    "Write it as text (bytes: as hexadecimal digits) before the log is read.",
                ) from None
        raise


def _uuid(storage: pa.Array) -> pl.Series:
    """8-4-4-4-12 hexadecimal digits."""
    digits = pl.Series(pl.from_arrow(storage.cast(pa.large_binary()))).bin.encode("hex").alias("d")
    parts = [pl.col("d").str.slice(start, length) for start, length in _UUID_PARTS]
    return digits.to_frame().select(pl.concat_str(parts, separator="-")).to_series()


def _timestamp(array: pa.Array, place: Place) -> pl.Series:
    unit = array.type.unit
    ticks = pl.Series(pl.from_arrow(array.view(pa.int64())))
    if unit != "s":
        return ticks.cast(pl.Datetime(unit))
    limit = (2**63 - 1) // 1_000
    beyond = (ticks > limit) | (ticks < -limit)
    place.refuse(ticks, beyond, "not a time before the year 10000")
    return (ticks * 1_000).cast(pl.Datetime("ms"))
