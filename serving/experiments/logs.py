"""Exposures and outcomes as tables, read from a folder or an object store.

Both are append-only logs of which any line may be repeated, late or cut short: what cannot be read
is counted, never guessed.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from hemix.errors import DataError, StorageError

if TYPE_CHECKING:
    import polars as pl

OUTCOME_COLUMNS = ("request_id", "item_id", "task", "value", "time_ms")


@dataclass(frozen=True, kw_only=True)
class ExposureTable:
    """One row a logged line, in the order of request time.

    ``rows``: request_id, user_id (text), request_ms, time_ms, latency_ms, layers and epochs of the
    asked layer as ``variant`` and ``epoch``, error, flags (list), item_ids (list of text), order
    (JSON text), ``scores_<task>`` (list of float32). ``unreadable`` lines were left out.
    """

    rows: pl.DataFrame
    tasks: tuple[str, ...]
    unreadable: int


@dataclass(frozen=True, kw_only=True)
class OutcomeTable:
    """``rows``: request_id, item_id (text), task, value (float), time_ms; ``unreadable`` left out."""

    rows: pl.DataFrame
    unreadable: int


def read_exposures(location: str, *, layer: str) -> ExposureTable:
    """All exposure lines at ``location`` that name a variant of ``layer``.

    Raises:
        DataError: there is no exposure file.
        StorageError: a file cannot be read.
    """
    import polars as pl

    lines: list[dict[str, Any]] = []
    unreadable = 0
    for name, data in _files(location, (".jsonl",), "exposures-"):
        del name
        for line in data.splitlines():
            row = _exposure(line, layer)
            if row is None:
                unreadable += 1
            elif row:
                lines.append(row)
    tasks = tuple(dict.fromkeys(task for row in lines for task in row["scores"]))
    for row in lines:
        scores = row.pop("scores")
        row.update({f"scores_{task}": scores.get(task) for task in tasks})
    schema: dict[str, Any] = {
        "request_id": pl.String,
        "user_id": pl.String,
        "request_ms": pl.Int64,
        "time_ms": pl.Int64,
        "latency_ms": pl.Float64,
        "variant": pl.String,
        "epoch": pl.String,
        "error": pl.String,
        "flags": pl.List(pl.String),
        "item_ids": pl.List(pl.String),
        "order": pl.String,
        **{f"scores_{task}": pl.List(pl.Float32) for task in tasks},
    }
    rows = pl.DataFrame(lines, schema=schema, orient="row").sort(
        "request_ms", "time_ms", "request_id"
    )
    return ExposureTable(rows=rows, tasks=tasks, unreadable=unreadable)


def read_outcomes(location: str) -> OutcomeTable:
    """All outcomes at ``location``: Parquet or JSON lines with :data:`OUTCOME_COLUMNS`.

    Raises:
        DataError: no such file, or a Parquet file lacks a column; names it.
        StorageError: a file cannot be read.
    """
    import polars as pl

    tables = [
        pl.DataFrame(
            schema={
                "request_id": pl.String,
                "item_id": pl.String,
                "task": pl.String,
                "value": pl.Float64,
                "time_ms": pl.Int64,
            }
        )
    ]
    unreadable = 0
    for name, data in _files(location, (".jsonl", ".parquet"), ""):
        if name.endswith(".parquet"):
            table, lost = _parquet(name, data), 0
        else:
            table, lost = _json_lines(data)
        tables.append(table.select(tables[0].columns))
        unreadable += lost
    whole = pl.concat(tables)
    good = whole.drop_nulls().filter(pl.col("value").is_finite())
    return OutcomeTable(rows=good, unreadable=unreadable + whole.height - good.height)


def outcomes_of(name: str, data: bytes) -> pl.DataFrame:
    """The good rows of one file's bytes, with :data:`OUTCOME_COLUMNS`; errors as above."""
    import polars as pl

    table = _parquet(name, data) if name.endswith(".parquet") else _json_lines(data)[0]
    return table.drop_nulls().filter(pl.col("value").is_finite())


def _exposure(line: bytes, layer: str) -> dict[str, Any] | None:
    """A line as a row; None when it cannot be read, empty when it does not know the layer."""
    try:
        found = orjson.loads(line)
        layers = found["layers"]
        if layer not in layers:
            return {}
        return {
            "request_id": str(found["request_id"]),
            "user_id": str(found["user_id"]),
            "request_ms": int(found["request_ms"]),
            "time_ms": int(found["time_ms"]),
            "latency_ms": float(found["latency_ms"]),
            "variant": str(layers[layer]),
            "epoch": str(found["epochs"][layer]),
            "error": str(found["error"]),
            "flags": [str(flag) for flag in found["flags"]],
            "item_ids": [str(item) for item in found["item_ids"]],
            "order": orjson.dumps(found["order"]).decode() if found["order"] else None,
            "scores": dict(found["scores"]),
        }
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError):
        return None


def _parquet(name: str, data: bytes) -> pl.DataFrame:
    import polars as pl

    try:
        table = pl.read_parquet(io.BytesIO(data))
    except (pl.exceptions.PolarsError, OSError) as error:
        raise StorageError(f"{name}: not a Parquet file ({error}).") from error
    missing = [column for column in OUTCOME_COLUMNS if column not in table.columns]
    if missing:
        raise DataError(
            f"{name}: outcomes lack the column {missing[0]}.",
            hint=f"Outcomes have the columns {', '.join(OUTCOME_COLUMNS)}.",
        )
    try:
        return table.select(
            *(pl.col(column).cast(pl.String) for column in ("request_id", "item_id", "task")),
            pl.col("value").cast(pl.Float64),
            pl.col("time_ms").cast(pl.Int64),
        )
    except pl.exceptions.PolarsError as error:
        raise DataError(f"{name}: value and time_ms must be numbers ({error}).") from error


def _json_lines(data: bytes) -> tuple[pl.DataFrame, int]:
    import polars as pl

    rows, unreadable = [], 0
    for line in data.splitlines():
        try:
            found = orjson.loads(line)
            request, item, task = (str(found[name]) for name in OUTCOME_COLUMNS[:3])
            rows.append((request, item, task, float(found["value"]), int(found["time_ms"])))
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            unreadable += 1
    kinds = (pl.String, pl.String, pl.String, pl.Float64, pl.Int64)
    schema = dict(zip(OUTCOME_COLUMNS, kinds, strict=True))
    return pl.DataFrame(rows, schema=schema, orient="row"), unreadable


def _files(location: str, endings: tuple[str, ...], beginning: str) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each log file of a folder (hidden ones are being written), or of one file."""
    from hemix.storage import is_remote, join, list_files, read_bytes

    if not is_remote(location) and Path(location).is_file():
        yield location, Path(location).read_bytes()
        return
    found = False
    for name in list_files(location):
        last = name.rpartition("/")[2]
        if not last.startswith(".") and last.startswith(beginning) and last.endswith(endings):
            data = read_bytes(join(location, name))
            if data is not None:
                found = True
                yield join(location, name), data
    if not found:
        what = beginning.rstrip("-") or "outcomes"
        raise DataError(
            f"{location} holds no {what}.",
            hint="Give the folder (or s3:// prefix) that the endpoint and its clients log to.",
        )
