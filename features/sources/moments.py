"""Turn a log's times into milliseconds since 1970: timestamps, dates, epoch numbers and ISO text."""

from __future__ import annotations

from datetime import UTC, datetime

import polars as pl

from hemix.bounds import EARLIEST_MS, FIRST_DATE_MS, LAST_DATE_MS, LATEST_MS
from hemix.features.sources.place import Place

_PER_MS = {"us": 1_000, "ns": 1_000_000}
_YEARS = r"^[12]\d{3}$"
_DAYS = r"^(18|19|20|21)\d\d(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"
_DATE_ALONE = r"^\d{4}-?\d{2}-?\d{2}$"
_CLOCK_SIGNS = ("%H", "%I", "%T", "%R", "%X", "%c", "%s", "%+")
_NUMBER = r"^-?\d{1,30}(\.\d+)?$"
_EXACT = {pl.Float32: 2**24, pl.Float16: 2**11}


def to_time(
    values: pl.Series,
    unit: str,
    place: Place,
    *,
    attribute: bool = False,
    written: str | None = None,
    at_ms: int = 0,
) -> pl.Series:
    """Milliseconds since 1970 (int64, UTC), rounded down.

    Times without a zone are UTC.

    Args:
        values: numbers, texts, dates or timestamps ``[rows]``.
        unit: of epoch numbers: ``s``, ``ms``, ``us``, ``ns``, or ``auto`` where none is stated.
        place: file and column, for the message.
        attribute: a date such as when an item came into being: it may be missing (null) and lie in
            any year from 1 to 9999. An event's time may not, and lies between 1980 and 2100.
        written: how texts are written that are not ISO 8601, by the signs of strftime.
        at_ms: milliseconds since midnight at which dates without a time of day are meant.

    Raises:
        DataError: an epoch number without a ``time_unit``, text that is no time, a missing time, or
            one out of bounds (a wrong unit).
    """
    dtype = values.dtype
    numeric = dtype.is_numeric()
    if dtype == pl.Date:
        ms = _ms(values) + at_ms
    elif dtype == pl.Datetime:
        ms = _ms(values)
    elif dtype.is_float():
        ms = _float_epoch(values, unit, place)
    elif dtype.is_decimal():
        ms = _text_epoch(values.cast(pl.String), unit, place)
    elif dtype.is_integer():
        ms = _epoch(values, unit, place)
    elif dtype in (pl.String, pl.Categorical, pl.Enum):
        text = values.cast(pl.String).str.strip_chars()
        known = text.drop_nulls()
        if written is not None:
            return _bounded(_written(text, written, place, at_ms), values, place, attribute, "")
        numeric = bool(len(known)) and known.str.contains(_NUMBER).all() and not _are_dates(known)
        ms = _text_epoch(text, unit, place) if numeric else _iso(text, place, at_ms)
    elif dtype == pl.Null:
        ms = values.cast(pl.Int64)
    else:
        raise place.error(
            f"holds {dtype}, not times", "Give a timestamp, epoch number or ISO text."
        )
    hint = f"time_unit is {unit!r}: check it." if numeric else ""
    return _bounded(ms, values, place, attribute, hint)


def _bounded(
    ms: pl.Series, values: pl.Series, place: Place, attribute: bool, hint: str
) -> pl.Series:
    """Refuse missing times of events, and times out of bounds."""
    if not attribute and ms.null_count():
        raise place.at(int(ms.is_null().arg_max() or 0)).error(
            f"lacks a time in {ms.null_count()} of {len(ms)} rows",
            "Drop or repair those rows in the log.",
        )
    first, last = (FIRST_DATE_MS, LAST_DATE_MS) if attribute else (EARLIEST_MS, LATEST_MS)
    what = "not a time in the years 1 to 9999" if attribute else "not a time between 1980 and 2100"
    hint = hint or "Correct it, or drop those rows."
    place.refuse(values, (ms < first) | (ms > last), what, hint)
    return ms


def _written(text: pl.Series, written: str, place: Place, at_ms: int) -> pl.Series:
    """Times written in the one way that the definition says; nothing else is tried."""
    dated = not any(sign in written for sign in _CLOCK_SIGNS)
    try:
        if dated:
            found = _ms(text.str.to_date(written, strict=False)) + at_ms
        else:
            zoned = "%z" in written
            parsed = text.str.to_datetime(
                written, strict=False, time_unit="ms", time_zone="UTC" if zoned else None
            )
            found = parsed.to_physical()
    except pl.exceptions.PolarsError as error:
        raise place.error(
            f"cannot be read with time_format {written!r} ({str(error).splitlines()[0]})",
            "Write it with strftime's signs, such as %d.%m.%Y %H:%M.",
        ) from error
    place.refuse(
        text,
        found.is_null() & text.is_not_null(),
        f"not a time written as {written!r}",
        "Correct `time_format`, or the file: one column, one way of writing times.",
    )
    return found


def _ms(values: pl.Series) -> pl.Series:
    if values.dtype == pl.Date:
        return values.cast(pl.Int32).cast(pl.Int64) * 86_400_000
    assert isinstance(values.dtype, pl.Datetime)
    return values.to_physical() // _PER_MS.get(values.dtype.time_unit, 1)


def _check_unit(values: pl.Series, unit: str, place: Place) -> None:
    """Refuse numbers that are years or days of the calendar, and numbers of no stated unit."""
    known = values.drop_nulls().cast(pl.String).str.replace(r"\.0*$", "")
    for what, written in ((_YEARS, "1969-01-01"), (_DAYS, "2024-05-31")):
        if len(known) and known.str.contains(what).all():
            raise place.at(0).error(
                f"holds {known[0]}, a date and not a time since 1970 in {unit}"
                if unit != "auto"
                else f"holds {known[0]}, and the unit of such numbers is not known",
                f"Write dates as {written}; for epoch numbers set "
                f"{place.key.split('.')[0]}.time_unit to s, ms, us or ns.",
            )
    if unit == "auto":
        raise place.error(
            "holds numbers, and their unit is not known",
            f"Set {place.key.split('.')[0]}.time_unit to s, ms, us or ns.",
        )


def _epoch(values: pl.Series, unit: str, place: Place) -> pl.Series:
    """Whole epoch numbers of any size; what no year up to 9999 holds becomes its bound."""
    _check_unit(values, unit, place)
    whole = values.cast(pl.Int64, strict=False)
    place.refuse(values, whole.is_null() & values.is_not_null(), "not a time: beyond 64 bits")
    if unit == "s":
        return whole.clip(FIRST_DATE_MS // 1_000 - 1, LAST_DATE_MS // 1_000 + 1) * 1_000
    return whole // _PER_MS.get(unit, 1)


def _text_epoch(text: pl.Series, unit: str, place: Place) -> pl.Series:
    """Epoch numbers with or without a fraction, digit by digit."""
    _check_unit(text, unit, place)
    parts = text.str.extract_groups(r"^(-?)(\d+)(?:\.(\d+))?$").struct.unnest()
    sign, whole, fraction = (parts[name].alias(name) for name in parts.columns)
    fraction = fraction.fill_null("")
    if unit == "s":
        whole = whole + fraction.str.slice(0, 3).str.pad_end(3, "0")
        fraction = fraction.str.slice(3)
    number = whole.cast(pl.Int64, strict=False)
    place.refuse(text, number.is_null() & text.is_not_null(), "not a time: beyond 64 bits")
    below = fraction.str.contains("[1-9]")
    frame = pl.DataFrame({"number": number, "negative": sign == "-", "below": below})
    down = -pl.col("number") - pl.col("below").cast(pl.Int64)
    exact = frame.select(pl.when("negative").then(down).otherwise("number")).to_series()
    return exact // _PER_MS.get(unit, 1)


def _float_epoch(values: pl.Series, unit: str, place: Place) -> pl.Series:
    _check_unit(values, unit, place)
    numbers = values.cast(pl.Float64).fill_nan(None)
    place.refuse(values, numbers.is_infinite(), "not a time")
    if limit := _EXACT.get(type(values.dtype)):
        place.refuse(
            values,
            numbers.abs() >= limit,
            f"beyond the numbers that {values.dtype} holds exactly: the time may be lost",
            "Write the column as 64-bit integers or as timestamps.",
        )
    if unit in _PER_MS:
        return (numbers / _PER_MS[unit]).floor().clip(-1e15, 1e15).cast(pl.Int64)
    # A float holds a time of today to a microsecond or better: round there, then down.
    per_us = 1_000_000 if unit == "s" else 1_000
    return (numbers * per_us).round().clip(-1e18, 1e18).cast(pl.Int64) // 1_000


def _are_dates(text: pl.Series) -> bool:
    """``20220425`` and the like: ISO basic dates, when all of them read as one."""
    if not text.str.contains(r"^(19|20)\d{6}$").all():
        return False
    return text.str.to_date("%Y%m%d", strict=False).null_count() == 0


def _iso(text: pl.Series, place: Place, at_ms: int = 0) -> pl.Series:
    import pandas as pd

    dated = text.str.contains(r"^\d")  # pandas takes "now" for a time
    frame = pl.DataFrame({"text": text, "dated": dated})
    texts = frame.select(pl.when("dated").then("text")).to_series()
    parsed = pd.to_datetime(texts.to_list(), format="ISO8601", utc=True, errors="coerce")
    ms = pl.Series(parsed.to_numpy("datetime64[ns]")).to_physical()
    ms = pl.DataFrame({"ns": ms}).select(
        pl.when(pl.col("ns") != -(2**63)).then(pl.col("ns") // 1_000_000)
    )
    found = ms.to_series()
    unread = found.is_null() & texts.is_not_null()
    if unread.any():  # pandas stops at the years 1677 and 2262
        later = [_far(value) if bad else None for value, bad in zip(texts, unread, strict=True)]
        found = pl.select(pl.coalesce(found, pl.Series(later, dtype=pl.Int64))).to_series()
    place.refuse(
        text,
        found.is_null() & text.is_not_null(),
        "not a time",
        "Write times as 2024-05-31T12:00:00Z, as epoch numbers with `time_unit`, or say how they "
        "are written with `time_format`.",
    )
    if at_ms:
        found = found + text.str.contains(_DATE_ALONE).fill_null(False).cast(pl.Int64) * at_ms
    return found


def _far(text: str) -> int | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    delta = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400_000) + delta.seconds * 1_000 + delta.microseconds // 1_000
