"""Turn a log's own values into ours: ids, categories, numbers and 0/1 labels.

Whole numbers and texts stay exactly what they are: none goes through a float, and a float that may
have lost digits is refused. A value that does not fit is refused with its file, column, row and
what to do about it; nothing is guessed. ``Series`` here are polars columns of one batch, of the
types that :func:`hemix.features.sources.arrow_types.plain` makes.
"""

from __future__ import annotations

import math
import re
from typing import Literal

import polars as pl

from hemix.bounds import MAX_NUMBER, MAX_TEXT
from hemix.features.schema import MISSING_INT, MISSING_STRING
from hemix.features.sources.place import Place

Kind = Literal["int64", "string"]
_WHOLE_TEXT = r"^(0|-?[1-9][0-9]{0,18})$"
POINT_ZERO = r"^(0|-?[1-9][0-9]*)\.0+$"
"""Whole numbers as floats and decimals are written: ``7.0``."""
TRUE = ("1", "1.0", "true", "t", "yes", "y")
FALSE = ("0", "0.0", "false", "f", "no", "n")
_EXACT: dict[type[pl.DataType], int] = {pl.Float64: 2**53, pl.Float32: 2**24, pl.Float16: 2**11}
_AS_NUMBER = "List numbers under `numeric`, not `categorical`."
_AS_TEXT = "Write the column as text before the log is read."


def kind_of(values: pl.Series, place: Place, *, is_csv: bool) -> Kind | None:
    """int64 or string for an id or categorical column of one batch; None when nothing is known.

    Floats and decimals that hold only whole numbers are int64. CSV text is int64 when every value
    is spelled as a whole number of 64 bits is (no leading zeros, no sign but ``-``), a ``.0`` aside.
    Whole numbers beyond 64 bits are string: their digits.

    Raises:
        DataError: a fraction, or a float so large that it may have lost digits.
    """
    known = values.drop_nulls()
    dtype = values.dtype
    if dtype == pl.Null or known.is_empty():
        return None
    if dtype == pl.Boolean:
        return "int64"
    if dtype.is_integer():
        return "string" if dtype in (pl.UInt64, pl.Int128) and _beyond(known) else "int64"
    if dtype.is_float():
        _exact(values, place)
        return "int64" if known.is_not_nan().any() else None
    if dtype.is_decimal():
        digits = _digits(values, place).drop_nulls()
        return "int64" if digits.cast(pl.Int64, strict=False).null_count() == 0 else "string"
    if dtype.is_nested():
        raise place.error(
            f"holds {dtype}, which cannot be an id or a category", "Choose one value a row."
        )
    if dtype not in (pl.String, pl.Categorical, pl.Enum) or not is_csv:
        return "string"
    text = known.cast(pl.String)
    return "int64" if _whole(text).null_count() == 0 else "string"


def to_category(values: pl.Series, kind: Kind, place: Place) -> pl.Series:
    """int64 with MISSING_INT, or strings with ``""``, where a value is missing."""
    if kind == "string":
        return _text(values, place).fill_null(MISSING_STRING)
    return _int64(values, place).fill_null(MISSING_INT)


def to_id(values: pl.Series, kind: Kind, place: Place) -> pl.Series:
    """Ids, none of which may be missing."""
    converted = _text(values, place) if kind == "string" else _int64(values, place)
    absent = converted.is_null()
    if kind == "string":
        absent = absent | (converted == "").fill_null(False)
    if missing := int(absent.sum()):
        raise place.at(int(absent.arg_max() or 0)).error(
            f"lacks an id in {missing} of {len(values)} rows",
            "Drop or repair those rows in the log.",
        )
    return converted


def to_text(values: pl.Series, place: Place) -> pl.Series:
    """Values as the one text that each has whatever the column's type; missing ones stay null.

    Raises:
        DataError: a fraction, or a float so large that it may have lost digits.
    """
    dtype = values.dtype
    if dtype.is_float() or dtype == pl.Boolean:
        return _int64(values, place).cast(pl.String)
    if dtype.is_decimal():
        return _digits(values, place)
    return _moments(values) if dtype == pl.Datetime else values.cast(pl.String)


def to_number(values: pl.Series, place: Place, *, largest: float = MAX_NUMBER) -> pl.Series:
    """float64; missing values are NaN.

    Raises:
        DataError: text that is not a number, infinity, or a number beyond ``largest``.
    """
    if values.dtype in (pl.String, pl.Categorical, pl.Enum):
        text = values.cast(pl.String).str.strip_chars()
        numbers = text.cast(pl.Float64, strict=False)
        bad = numbers.is_null() & values.is_not_null()
        place.refuse(values, bad, "not a number", _number_hint(text, bad))
    elif values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null):
        numbers = values.cast(pl.Float64)
    else:
        raise place.error(f"holds {values.dtype}, not numbers", _AS_NUMBER)
    place.refuse(values, numbers.is_infinite(), "not a finite number")
    place.refuse(
        values,
        numbers.fill_nan(None).abs() > largest,
        "a number beyond 32-bit floats, in which models compute",
        "Scale the column down, or mark what is missing as empty.",
    )
    return numbers.fill_null(float("nan"))


def _number_hint(text: pl.Series, bad: pl.Series) -> str:
    """How a text that is not a number would be one."""
    first = str(text.filter(bad)[0]) if bad.any() else ""
    if re.fullmatch(r"[+-]?\d{1,3}(\.\d{3})*,\d+|[+-]?\d+,\d+", first):
        point = first.replace(".", "").replace(",", ".")
        return f"Numbers have a decimal point: write {point}, in all rows."
    return "Write plain numbers such as 1234.5, without units, and leave empty what is missing."


def to_flag(values: pl.Series, place: Place) -> pl.Series:
    """int8 0/1 from booleans, numbers or text.

    Raises:
        DataError: a missing value or one that is neither 0 nor 1.
    """
    dtype = values.dtype
    if dtype.is_decimal():
        values = values.cast(pl.String).str.replace(r"\.0*$", "")
        dtype = values.dtype
    if dtype in (pl.Boolean, pl.Null) or dtype.is_numeric():
        flags = _flags(values.cast(pl.Float64), (1.0,), (0.0,))
    elif dtype in (pl.String, pl.Categorical, pl.Enum):
        flags = _flags(values.cast(pl.String).str.strip_chars().str.to_lowercase(), TRUE, FALSE)
    else:
        raise place.error(f"holds {dtype}, not 0/1 labels")
    place.refuse(
        values,
        flags.is_null(),
        "not a 0/1 label",
        "A label is 0 or 1 (true or false, yes or no); use `at_least` for a number, `contains_item` "
        "for a list, and write any other text as 0 and 1.",
    )
    return flags.cast(pl.Int8)


def at_least(values: pl.Series, bound: float | int, place: Place) -> pl.Series:
    """int8 1 where a number is ``bound`` or more; a missing one means that the thing was not done."""
    if values.dtype == pl.String:
        whole = values.str.strip_chars().cast(pl.Int64, strict=False)
        values = whole if whole.null_count() == values.null_count() else values
    # Floats tell numbers apart below 2^53 only: whole ones and great ones are compared as they are.
    great = values.dtype.is_decimal() and bound >= 2**52
    if (values.dtype.is_integer() or great) and abs(bound) < 2**63:
        reached = values.cast(pl.Int128) >= math.ceil(bound)
        return reached.fill_null(False).cast(pl.Int8)
    numbers = to_number(values, place, largest=math.inf).fill_nan(float("-inf"))
    return (numbers >= bound).cast(pl.Int8)


def _flags(values: pl.Series, yes: tuple[object, ...], no: tuple[object, ...]) -> pl.Series:
    column = pl.col("value")
    flag = pl.when(column.is_in(yes)).then(1).when(column.is_in(no)).then(0)
    return values.alias("value").to_frame().select(flag).to_series()


def _beyond(known: pl.Series) -> bool:
    return known.cast(pl.Int64, strict=False).null_count() > 0


def _int64(values: pl.Series, place: Place) -> pl.Series:
    dtype = values.dtype
    if dtype.is_integer() or dtype in (pl.Boolean, pl.Null):
        whole = values.cast(pl.Int64, strict=False)
        beyond = (whole.is_null() & values.is_not_null()) | (whole == MISSING_INT)
        place.refuse(
            values,
            beyond,
            "beyond 64 bits with a sign, or -2^63, which stands for what is missing",
            _AS_TEXT,
        )
        return whole
    if dtype.is_float():
        return _exact(values, place)
    text = _digits(values, place) if dtype.is_decimal() else values.cast(pl.String)
    whole = _whole(text)
    place.refuse(values, whole.is_null() & values.is_not_null(), "not a whole number", _AS_NUMBER)
    return whole


def _whole(text: pl.Series) -> pl.Series:
    """Int64 where a text spells a whole number of 64 bits, null elsewhere."""
    frame = text.to_frame("text")
    plain, kept = pl.col("text").str.contains(_WHOLE_TEXT), pl.col("whole") != MISSING_INT
    if not frame.select(plain.fill_null(True).all()).item():
        # A number with a point may come from a float: it is whole as far as floats are exact.
        point = pl.col("text").str.contains(POINT_ZERO)
        frame = frame.select(
            plain.alias("plain"), point.alias("point"), pl.col("text").str.replace(r"\.0+$", "")
        )
        kept = kept & (pl.col("plain") | (pl.col("point") & (pl.col("whole").abs() < 2**53)))
    frame = frame.with_columns(pl.col("text").cast(pl.Int64, strict=False).alias("whole"))
    return frame.select(pl.when(kept).then("whole")).to_series()


def lossy(text: pl.Series) -> pl.Series:
    """True where a text is how a float beyond its exact whole numbers is written.

    ``1.5e+18`` by Python, ``1.5E+18`` by spreadsheets, ``1.5E18`` by Java and Spark, which write
    one sign before the point; ``12E5`` and ``1E10`` stay texts.
    """
    point = text.str.ends_with(".0") & (text.str.len_bytes() > 17)
    long = point & text.str.contains(r"^-?[1-9][0-9]{15,}\.0$")
    signed = text.str.contains(r"^-?[1-9](\.[0-9]+)?[eE]\+[0-9]{2,3}$")
    return long | signed | text.str.contains(r"^-?[1-9]\.[0-9]+E[0-9]{1,3}$")


def _text(values: pl.Series, place: Place) -> pl.Series:
    text = to_text(values, place)
    if values.dtype in (pl.String, pl.Categorical, pl.Enum):
        _sendable(text, place)
    return text


def _sendable(text: pl.Series, place: Place) -> None:
    """What a request can hold and a vocabulary's file, too."""
    if (text.str.len_bytes().max() or 0) > MAX_TEXT:
        place.refuse(
            text,
            text.str.len_chars() > MAX_TEXT,
            f"a text of more than {MAX_TEXT} characters",
            "Shorten it, for example to a hash; requests must say the same.",
        )
    place.refuse(
        text,
        text.str.contains(r"[\r\n]"),
        "a text with a line break",
        "Replace line breaks before the log is read; requests must say the same.",
    )


def _digits(values: pl.Series, place: Place) -> pl.Series:
    """Decimals as the digits of a whole number."""
    digits = values.cast(pl.String).str.replace(r"\.0*$", "")
    place.refuse(values, digits.str.contains(".", literal=True), "not a whole number", _AS_NUMBER)
    return digits


def _moments(values: pl.Series) -> pl.Series:
    """``2024-05-31 12:00:00.25``: the same text for an instant, whatever the column's unit."""
    text = values.dt.to_string("%Y-%m-%d %H:%M:%S%.9f")
    return text.str.replace(r"\.?0+$", "") if len(text) else text


def _exact(values: pl.Series, place: Place) -> pl.Series:
    """Floats as Int64, NaN as missing.

    Raises:
        DataError: a fraction, or a number that the float may not hold to its last digit.
    """
    limit = _EXACT[type(values.dtype)]
    numbers = values.cast(pl.Float64).fill_nan(None)
    place.refuse(
        values, (numbers % 1 != 0) | numbers.is_infinite(), "not a whole number", _AS_NUMBER
    )
    place.refuse(
        values,
        numbers.abs() >= limit,
        f"beyond the whole numbers that {values.dtype} holds exactly ({limit - 1}): "
        "digits may be lost",
        "Write the column as 64-bit integers or as text.",
    )
    return numbers.cast(pl.Int64)
