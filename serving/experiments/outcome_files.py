"""Outcomes of one file: Parquet or JSON lines, whatever types a writer gave the columns."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import orjson

from hemix.errors import DataError, StorageError
from hemix.serving.experiments.cells import id_of, number_of, time_of
from hemix.serving.experiments.statistics.left_out import LeftOut

if TYPE_CHECKING:
    import polars as pl

OUTCOME_COLUMNS = ("request_id", "item_id", "task", "value", "time_ms")
_READERS: dict[str, Callable[[object], Any]] = {
    "request_id": id_of,
    "item_id": id_of,
    "task": id_of,
    "value": number_of,
    "time_ms": time_of,
}
_PER_MS = {"ms": 1, "us": 1_000, "ns": 1_000_000}


def schema() -> dict[str, Any]:
    """Column -> polars type of a table of outcomes."""
    import polars as pl

    kinds = (pl.String, pl.String, pl.String, pl.Float64, pl.Int64)
    return dict(zip(OUTCOME_COLUMNS, kinds, strict=True))


def outcomes_of(name: str, data: bytes, *, first: int = 1) -> tuple[pl.DataFrame, LeftOut]:
    """The good rows of a file's bytes, and the others by reason, with the first as an example.

    Args:
        name: of the file; its ending says its kind.
        data: its bytes.
        first: number of the first line of ``data``, when it is the end of a file.

    Raises:
        DataError: a Parquet file lacks a column, or one has a type that cannot hold what it must.
        StorageError: it is not a Parquet file.
    """
    if name.lower().endswith(".parquet"):
        return _parquet(name, data)
    return _json_lines(name, data, first)


def _parquet(name: str, data: bytes) -> tuple[pl.DataFrame, LeftOut]:
    import polars as pl
    import pyarrow as pa
    import pyarrow.parquet as pq

    from hemix.features.sources.arrow_types import plain
    from hemix.features.sources.place import Place

    try:
        raw = pq.read_table(io.BytesIO(data))
    except (pa.ArrowException, OSError) as error:
        raise StorageError(f"{name}: not a Parquet file ({error}).") from error
    missing = [column for column in OUTCOME_COLUMNS if column not in raw.column_names]
    if missing:
        raise DataError(
            f"{name}: outcomes lack the column {missing[0]}.",
            hint=f"Outcomes have the columns {', '.join(OUTCOME_COLUMNS)}.",
        )
    table = pl.DataFrame(
        {
            column: plain(raw[column], Place(key="outcomes", column=column, url=name))
            for column in OUTCOME_COLUMNS
        }
    )
    left_out = LeftOut()
    read = pl.DataFrame([_column(name, table[column]) for column in OUTCOME_COLUMNS])
    bad = pl.Series("bad", [False] * table.height, dtype=pl.Boolean)
    for column in OUTCOME_COLUMNS:
        here = read[column].is_null() & ~bad
        if count := int(here.sum()):
            row = int(here.arg_max() or 0)
            value = table[column][row]
            problem = _problem(_READERS[column], value)
            example = f"{name}, row {row + 1}, {column}: {value!r} {problem}"
            left_out.add("unreadable", count, example)
        bad = bad | here
    return read.filter(~bad), left_out


def _column(name: str, values: pl.Series) -> pl.Series:
    """A column as it must be, null where a value cannot be read."""
    import polars as pl

    column, kind = values.name, values.dtype
    if kind.is_nested() or kind in (pl.Date, pl.Time, pl.Duration, pl.Binary):
        what = "a day, not a time" if kind == pl.Date else str(kind)
        example = values.drop_nulls()
        shown = f", for example {example[0]!r} in row 1" if len(example) else ""
        raise DataError(
            f"{name}: the column {column} holds {what}{shown}.",
            hint="request_id, item_id and task are text or whole numbers, value is a number, time_ms "
            "is milliseconds since 1970 or a timestamp.",
        )
    target = schema()[column]
    if kind in (pl.Categorical, pl.Enum):
        values, kind = values.cast(pl.String), pl.String()
    if column == "time_ms" and isinstance(kind, pl.Datetime):
        return values.to_physical() // _PER_MS[kind.time_unit]
    if column == "time_ms" and kind.is_integer():
        whole = values.cast(pl.Int64, strict=False)
        return _known(whole, ~_wrong_units(whole))
    if column == "value" and (kind.is_integer() or kind.is_float() or kind == pl.Boolean):
        numbers = values.cast(pl.Float64)
        return _known(numbers, numbers.is_finite())
    if target == pl.String and (kind == pl.String or kind.is_integer()):
        text = values.cast(pl.String)
        return _known(text, text != "")
    if target == pl.String and kind in (pl.Float32, pl.Float16):
        from hemix.features.sources.conversions import to_text
        from hemix.features.sources.place import Place

        return to_text(values, Place(key="outcomes", column=column, url=name))
    reader = _READERS[column]
    return pl.Series(column, [_or_none(reader, value) for value in values], dtype=target)


def _known(values: pl.Series, good: pl.Series) -> pl.Series:
    import polars as pl

    frame = pl.DataFrame({"value": values, "good": good})
    kept = frame.select(pl.when(pl.col("good")).then(pl.col("value"))).to_series()
    return kept.alias(values.name)


def _wrong_units(times: pl.Series) -> pl.Series:
    size = times.abs()
    return ((size >= 10**8) & (size < 10**10)) | (size >= 10**14)


def _or_none(reader: Callable[[object], Any], value: object) -> Any:
    try:
        return reader(value)
    except ValueError:
        return None


def _problem(reader: Callable[[object], Any], value: object) -> str:
    if value is None:
        return "is missing"
    try:
        reader(value)
    except ValueError as error:
        return str(error)
    return "cannot be read"


def _json_lines(name: str, data: bytes, first: int) -> tuple[pl.DataFrame, LeftOut]:
    import polars as pl

    rows, left_out = [], LeftOut()
    for number, line in enumerate(data.splitlines(), start=first):
        if not line.strip():
            continue
        try:
            rows.append(_json_row(line))
        except ValueError as error:
            left_out.add("unreadable", 1, f"{name}, line {number}: {error}")
    return pl.DataFrame(rows, schema=schema(), orient="row"), left_out


def _json_row(line: bytes) -> tuple[Any, ...]:
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error})") from error
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    row = []
    for column, reader in _READERS.items():
        value = found.get(column)
        if value is None:
            raise ValueError(f"{column} is missing")
        try:
            row.append(reader(value))
        except ValueError as error:
            raise ValueError(f"{column}: {value!r} {error}") from error
    return tuple(row)
