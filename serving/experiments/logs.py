"""Exposures and outcomes as tables, read from a folder or an object store.

Both are append-only logs of which any line may be repeated, late or cut short: what cannot be read
is counted, never guessed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson

from hemix.errors import DataError
from hemix.serving.experiments.cells import id_of, time_of
from hemix.serving.experiments.outcome_files import outcomes_of, schema
from hemix.serving.experiments.statistics.left_out import LeftOut
from hemix.storage import is_remote, join, list_files, read_bytes

if TYPE_CHECKING:
    import polars as pl

EXPOSURES = "exposures-"
"""What the names of exposure files begin with."""
_ROWS = (".csv", ".tsv", ".json", ".ndjson", ".avro", ".orc", ".gz", ".zst", ".bz2", ".zip", ".xz")
"""Endings of files that hold rows which are not read."""


@dataclass(frozen=True, kw_only=True)
class ExposureTable:
    """One row a logged line, in the order of request time.

    ``rows``: request_id, user_id (text), request_ms, time_ms, latency_ms, version, layers and epochs
    of the asked layer as ``variant`` and ``epoch``, error, flags (list), item_ids (list of text),
    order (JSON text), ``scores_<task>`` (list of float32). ``unreadable`` lines were left out, as
    were those of ``other_layers``, which do not know the asked one.
    """

    rows: pl.DataFrame
    tasks: tuple[str, ...]
    unreadable: int
    other_layers: int = 0
    example: str = ""


@dataclass(frozen=True, kw_only=True)
class OutcomeTable:
    """``rows``: request_id, item_id (text), task, value (float), time_ms; ``unreadable`` left out,
    the first of them as ``example``."""

    rows: pl.DataFrame
    unreadable: int
    example: str = ""


def read_exposures(location: str, *, layer: str) -> ExposureTable:
    """All exposure lines at ``location`` that name a variant of ``layer``.

    Raises:
        DataError: there is no exposure file.
        StorageError: a file cannot be read.
    """
    import polars as pl

    lines: list[dict[str, Any]] = []
    unreadable, other_layers = LeftOut(), 0
    for name, data in _files(location, (".jsonl",), EXPOSURES):
        for number, line in enumerate(data.splitlines(), start=1):
            try:
                row = _exposure(line, layer)
            except ValueError as error:
                unreadable.add("unreadable", 1, f"{name}, line {number}: {error}")
                continue
            if row:
                lines.append(row)
            else:
                other_layers += 1
    if other_layers and not lines:
        raise DataError(
            f"{location}: none of {other_layers:,} exposure lines knows the layer {layer}.",
            hint="Was its experiments.yaml beside the registry of the endpoint that logged them?",
        )
    tasks = tuple(dict.fromkeys(task for row in lines for task in row["scores"]))
    for row in lines:
        scores = row.pop("scores")
        row.update({f"scores_{task}": scores.get(task) for task in tasks})
    kinds: dict[str, Any] = {
        "request_id": pl.String,
        "user_id": pl.String,
        "request_ms": pl.Int64,
        "time_ms": pl.Int64,
        "latency_ms": pl.Float64,
        "version": pl.String,
        "variant": pl.String,
        "epoch": pl.String,
        "error": pl.String,
        "flags": pl.List(pl.String),
        "item_ids": pl.List(pl.String),
        "order": pl.String,
        **{f"scores_{task}": pl.List(pl.Float32) for task in tasks},
    }
    rows = pl.DataFrame(lines, schema=kinds, orient="row").sort(
        "request_ms", "time_ms", "request_id"
    )
    return ExposureTable(
        rows=rows,
        tasks=tasks,
        unreadable=unreadable.total,
        other_layers=other_layers,
        example=unreadable.examples.get("unreadable", ""),
    )


def read_outcomes(location: str) -> OutcomeTable:
    """All outcomes at ``location``: Parquet or JSON lines with ``OUTCOME_COLUMNS``.

    Raises:
        DataError: no such file, or a Parquet file lacks a column; names it.
        StorageError: a file cannot be read.
    """
    import polars as pl

    tables = [pl.DataFrame(schema=schema())]
    left_out = LeftOut()
    for name, data in _files(location, (".jsonl", ".parquet"), ""):
        table, lost = outcomes_of(name, data)
        tables.append(table)
        left_out.join(lost)
    return OutcomeTable(
        rows=pl.concat(tables),
        unreadable=left_out.total,
        example=left_out.examples.get("unreadable", ""),
    )


def _exposure(line: bytes, layer: str) -> dict[str, Any]:
    """A line as a row, empty when it does not know the layer; ValueError when it cannot be read."""
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON ({error})") from error
    try:
        layers = found["layers"]
        if layer not in layers:
            return {}
        row: dict[str, Any] = {
            "latency_ms": float(found["latency_ms"]),
            "version": str(found.get("version") or ""),
            "variant": str(layers[layer]),
            "epoch": str(found["epochs"][layer]),
            "error": str(found["error"]),
            "flags": [str(flag) for flag in found["flags"]],
            "order": orjson.dumps(found["order"]).decode() if found["order"] else None,
        }
        for name, reader in (("request_id", id_of), ("user_id", id_of)):
            row[name] = _cell(name, reader, found[name])
        for name in ("request_ms", "time_ms"):
            row[name] = _cell(name, time_of, found[name])
        row["item_ids"] = [_cell("item_ids", id_of, item) for item in found["item_ids"]]
        row["scores"] = {
            str(task): [None if score is None else float(score) for score in scores]
            for task, scores in found["scores"].items()
        }
        if any(len(scores) != len(row["item_ids"]) for scores in row["scores"].values()):
            raise ValueError("scores: not as many as item_ids")
    except KeyError as error:
        raise ValueError(f"{error.args[0]} is missing") from error
    except (TypeError, AttributeError) as error:
        raise ValueError(f"not an exposure ({error})") from error
    return row


def _cell(name: str, reader: Any, value: object) -> Any:
    try:
        return reader(value)
    except ValueError as error:
        raise ValueError(f"{name}: {value!r} {error}") from error


def _files(location: str, endings: tuple[str, ...], beginning: str) -> Iterator[tuple[str, bytes]]:
    """Name and bytes of each log file of a folder, or of one file.

    Hidden ones are being written; ``_SUCCESS`` and the like are other programs' marks.

    Raises:
        DataError: there is none, or beside them lies a file of rows that cannot be read here.
    """
    if not is_remote(location) and Path(location).is_file():
        if not location.lower().endswith(endings):
            raise _not_read(location, endings)
        yield location, Path(location).read_bytes()
        return
    found = False
    for name in list_files(location):
        last = name.rpartition("/")[2].lower()
        if any(part.startswith((".", "_")) for part in name.split("/")):
            continue
        own = last.startswith(beginning) and (beginning or not last.startswith(EXPOSURES))
        if not own:
            continue
        if last.endswith(_ROWS):
            raise _not_read(join(location, name), endings)
        if last.endswith(endings):
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


def _not_read(name: str, endings: tuple[str, ...]) -> DataError:
    return DataError(
        f"{name}: this kind of file is not read.",
        hint=f"Write {' or '.join(endings)}, or take the file out of the folder.",
    )
