"""Turn a log's own values into ours: ids, categories, numbers, times and 0/1 labels.

A value that does not fit is refused with its column, file and what to do about it; nothing is
guessed. ``Series`` here are polars columns of one batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import polars as pl

from features.schema import MISSING_INT, MISSING_STRING
from hemix.errors import DataError

Kind = Literal["int64", "string"]
_WHOLE_TEXT = r"^-?(0|[1-9][0-9]{0,17})$"
_WHOLE_FLOAT_TEXT = r"^-?(0|[1-9][0-9]{0,14})\.0+$"
_PER_MS = {"s": 1_000, "ms": 1}
_MS_PER_DAY = 86_400_000
_EARLIEST_MS = 10 * 365 * _MS_PER_DAY  # 1980: anything before is a wrong unit, not a log
_LATEST_MS = 130 * 365 * _MS_PER_DAY  # about 2100
_TRUE = ("1", "1.0", "true", "t", "yes")
_FALSE = ("0", "0.0", "false", "f", "no")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a column stands, for messages: ``interactions[0].columns.user_id``, name and file."""

    key: str
    column: str
    url: str

    def error(self, problem: str, hint: str = "") -> DataError:
        return DataError(f"{self.key}: column {self.column!r} of {self.url} {problem}.", hint=hint)


def kind_of(values: pl.Series, place: Place, *, is_csv: bool) -> Kind | None:
    """int64 or string for an id or categorical column of one batch; None when nothing is known.

    Floats that hold only whole numbers are int64. CSV text is int64 when every value is a plain
    integer (no leading zeros, no sign but ``-``).

    Raises:
        DataError: a fractional number, a list or another type that cannot be an id or a category.
    """
    known = values.drop_nulls()
    dtype = values.dtype
    if dtype == pl.Null or (known.is_empty() and (is_csv or dtype.is_float())):
        return None
    if dtype.is_integer() or dtype == pl.Boolean:
        return "int64"
    if dtype.is_float() or dtype.is_decimal():
        _whole(known.cast(pl.Float64), place)
        return "int64" if known.cast(pl.Float64).is_not_nan().any() else None
    if dtype in (pl.String, pl.Categorical, pl.Enum) or dtype.is_temporal():
        if not is_csv:
            return "string"
        text = known.cast(pl.String)
        whole = text.str.contains(_WHOLE_TEXT) | text.str.contains(_WHOLE_FLOAT_TEXT)
        return "int64" if whole.all() else "string"
    raise place.error(
        f"holds {dtype}, which cannot be an id or a category",
        "Choose one value a row (or `explode` a list of items) before the log is read.",
    )


def to_category(values: pl.Series, kind: Kind, place: Place) -> pl.Series:
    """int64 with MISSING_INT, or strings with ``""``, where a value is missing."""
    if kind == "string":
        return _text(values, place).fill_null(MISSING_STRING)
    return _int64(values, place).fill_null(MISSING_INT)


def to_id(values: pl.Series, kind: Kind, place: Place) -> pl.Series:
    """Ids, none of which may be missing."""
    converted = _text(values, place) if kind == "string" else _int64(values, place)
    missing = converted.null_count() + (int((converted == "").sum()) if kind == "string" else 0)
    if missing:
        raise place.error(
            f"lacks an id in {missing} of {len(values)} rows",
            "Drop or repair those rows in the log.",
        )
    return converted


def to_number(values: pl.Series, place: Place) -> pl.Series:
    """float64; missing values are NaN.

    Raises:
        DataError: text that is not a number, infinity, or a type that is no number.
    """
    dtype = values.dtype
    if dtype in (pl.String, pl.Categorical, pl.Enum):
        numbers = values.cast(pl.String).str.strip_chars().cast(pl.Float64, strict=False)
        _refuse(values, numbers.is_null() & values.is_not_null(), place, "not a number")
    elif dtype.is_numeric() or dtype in (pl.Boolean, pl.Null):
        numbers = values.cast(pl.Float64)
    else:
        raise place.error(f"holds {dtype}, not numbers", "List it under `categorical` or drop it.")
    _refuse(values, numbers.is_infinite().fill_null(False), place, "not a finite number")
    return numbers.fill_null(float("nan"))


def to_time(values: pl.Series, unit: str, place: Place, *, optional: bool = False) -> pl.Series:
    """Milliseconds since 1970 (int64, UTC) from timestamps, dates, epoch numbers or ISO text.

    Times without a zone are UTC. Missing ones stay null when ``optional``.

    Raises:
        DataError: an epoch number without a ``time_unit``, text that is no time, a missing time,
            or times before 1980 or after 2100 (a wrong unit).
    """
    dtype = values.dtype
    if dtype == pl.Datetime or dtype == pl.Date:
        ms = values.cast(pl.Datetime("ms")) if dtype == pl.Date else values
        ms = ms.dt.epoch("ms")
    elif dtype.is_numeric():
        ms = _epoch(values, unit, place)
    elif dtype in (pl.String, pl.Categorical, pl.Enum):
        text = values.cast(pl.String).str.strip_chars()
        known = text.drop_nulls()
        if len(known) and known.str.contains(r"^-?\d+(\.\d+)?$").all() and not _is_year(known):
            ms = _epoch(
                text.cast(pl.Float64 if known.str.contains(r"\.").any() else pl.Int64), unit, place
            )
        else:
            ms = _iso(text, place)
    elif dtype == pl.Null:
        ms = values.cast(pl.Int64)
    else:
        raise place.error(
            f"holds {dtype}, not times", "Give a timestamp, epoch number or ISO text."
        )
    if not optional and ms.null_count():
        raise place.error(
            f"lacks a time in {ms.null_count()} of {len(ms)} rows",
            "Drop or repair those rows in the log.",
        )
    outside = ((ms < _EARLIEST_MS) | (ms > _LATEST_MS)).fill_null(False)
    hint = f"time_unit is {unit!r}: check it." if dtype.is_numeric() else "Times must be UTC."
    _refuse(values, outside, place, "not a time between 1980 and 2100", hint)
    return ms


def to_flag(values: pl.Series, place: Place) -> pl.Series:
    """int8 0/1 from booleans, numbers or text.

    Raises:
        DataError: a missing value or one that is neither 0 nor 1.
    """
    dtype = values.dtype
    if dtype in (pl.Boolean, pl.Null) or dtype.is_numeric():
        numbers = values.cast(pl.Float64)
        flags = _flags(numbers, (1.0,), (0.0,))
    elif dtype in (pl.String, pl.Categorical, pl.Enum):
        text = values.cast(pl.String).str.strip_chars().str.to_lowercase()
        flags = _flags(text, _TRUE, _FALSE)
    else:
        raise place.error(f"holds {dtype}, not 0/1 labels")
    _refuse(
        values,
        flags.is_null(),
        place,
        "not a 0/1 label",
        "A label is 0 or 1; use `at_least` for a number, `contains_item` for a list.",
    )
    return flags.cast(pl.Int8)


def _flags(values: pl.Series, yes: tuple[object, ...], no: tuple[object, ...]) -> pl.Series:
    column = pl.col("value")
    flag = pl.when(column.is_in(yes)).then(1).when(column.is_in(no)).then(0)
    return values.alias("value").to_frame().select(flag).to_series()


def _int64(values: pl.Series, place: Place) -> pl.Series:
    dtype = values.dtype
    if dtype.is_integer() or dtype in (pl.Boolean, pl.Null):
        whole = values.cast(pl.Int64, strict=False)
        _refuse(values, whole.is_null() & values.is_not_null(), place, "beyond 64 bits")
        return whole
    numbers = values
    if not (dtype.is_float() or dtype.is_decimal()):
        text = values.cast(pl.String)
        whole = text.cast(pl.Int64, strict=False)
        numbers = text.cast(pl.Float64, strict=False).fill_nan(None)
        _refuse(values, numbers.is_null() & values.is_not_null(), place, "not a whole number")
        _whole(numbers.filter(whole.is_null()).drop_nulls(), place)
        return whole.fill_null(numbers.cast(pl.Int64, strict=False))
    numbers = numbers.cast(pl.Float64).fill_nan(None)
    _whole(numbers.drop_nulls(), place)
    return numbers.cast(pl.Int64)


def _text(values: pl.Series, place: Place) -> pl.Series:
    if values.dtype.is_float() or values.dtype.is_decimal() or values.dtype == pl.Boolean:
        values = _int64(values, place)
    return values.cast(pl.String)


def _whole(known: pl.Series, place: Place) -> None:
    numbers = known.fill_nan(None).drop_nulls()
    bad = ((numbers % 1) != 0) | (numbers.abs() >= 2**63)
    _refuse(
        numbers,
        bad,
        place,
        "not a whole number",
        "List numbers under `numeric`, not `categorical`.",
    )


def _epoch(values: pl.Series, unit: str, place: Place) -> pl.Series:
    if unit == "auto":
        raise place.error(
            "holds numbers, and their unit is not known",
            f"Set {place.key.split('.')[0]}.time_unit to s, ms, us or ns.",
        )
    numbers = values.fill_nan(None) if values.dtype.is_float() else values.cast(pl.Int64)
    if unit in _PER_MS:
        scaled = numbers * _PER_MS[unit]
    else:
        scaled = numbers // (1_000 if unit == "us" else 1_000_000)
    if not scaled.dtype.is_float():
        return scaled
    _refuse(values, scaled.is_infinite().fill_null(False), place, "not a time")
    return scaled.floor().cast(pl.Int64)


def _is_year(text: pl.Series) -> bool:
    """``20220425`` and the like: ISO basic dates, when all of them read as one."""
    if not text.str.contains(r"^(19|20)\d{6}$").all():
        return False
    return text.str.to_date("%Y%m%d", strict=False).null_count() == 0


def _iso(text: pl.Series, place: Place) -> pl.Series:
    import pandas as pd

    parsed = pd.to_datetime(text.to_list(), format="ISO8601", utc=True, errors="coerce")
    ms = pl.Series(parsed.to_numpy("datetime64[ns]")).dt.epoch("ms")
    _refuse(
        text,
        ms.is_null() & text.is_not_null(),
        place,
        "not a time",
        "Write times as 2024-05-31T12:00:00Z, or as epoch numbers with `time_unit`.",
    )
    return ms


def _refuse(values: pl.Series, bad: pl.Series, place: Place, what: str, hint: str = "") -> None:
    count = int(bad.sum())
    if count:
        example = values.filter(bad)[0]
        raise place.error(
            f"holds {example!r}, which is {what} ({count} such rows in a batch)", hint
        )
