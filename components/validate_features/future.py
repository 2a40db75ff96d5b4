"""Does a feature change when everything after the interaction is removed? Then it saw the future."""

from __future__ import annotations

import shutil
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.errors import StorageError
from hemix.features.definition import DatasetDefinition
from hemix.features.examples.build import build
from hemix.features.schema import TIME
from hemix.features.transform.columns import example_files

KEYS = ("event_time", "user_id", "item_id", "request_id")
CUTS = 3
SAMPLE = 240
EARLIEST_ROWS = 120_000
"""Cuts lie among this many first interactions: the work is bounded whatever the log's length."""


def cut_times(examples: Path, cuts: int, earliest_rows: int = EARLIEST_ROWS) -> list[int]:
    """Instants, ms, at even steps through the (first) interactions."""
    times: list[npt.NDArray[np.int64]] = []
    rows = 0
    for file in example_files(examples):
        if rows >= earliest_rows:
            break
        column = pq.read_table(file, columns=["event_time"])["event_time"]
        times.append(column.cast(pa.int64()).to_numpy())
        rows += len(column)
    ordered = np.sort(np.concatenate(times))[:earliest_rows]
    steps = np.linspace(0, len(ordered) - 1, cuts + 1)[1:].astype(np.int64)
    return sorted({int(t) for t in ordered[steps]})


def remove_after(events: Path, instant_ms: int, out: Path) -> None:
    """A copy of an events artifact without anything after an instant."""
    instant = pa.scalar(instant_ms, TIME)
    for file in sorted(events.rglob("*")):
        if not file.is_file():
            continue
        target = out / file.relative_to(events)
        target.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix != ".parquet":
            shutil.copyfile(file, target)
            continue
        try:
            with pq.ParquetFile(file) as parquet:
                table = parquet.read()
        except (pa.ArrowException, OSError) as error:
            raise StorageError(
                f"{file}: cannot read ({error}).", hint="Run ingest again."
            ) from error
        fact = file.relative_to(events).parts[0] in ("behaviors", "interactions")
        when = "event_time" if fact else "valid_from"  # the other may be a field of the log
        table = table.filter(pc.less_equal(table[when], instant))
        if table.num_rows or not fact:
            pq.write_table(table, target)


def changed_features(
    definition: DatasetDefinition,
    events: Path,
    examples: Path,
    *,
    cuts: int = CUTS,
    sample: int = SAMPLE,
) -> tuple[pd.DataFrame, int]:
    """Rebuild the last rows before several instants from events cut there, and compare all bits.

    Args:
        definition: the data set definition.
        events: the events artifact.
        examples: the examples artifact.
        cuts: how many instants.
        sample: rows that are compared at each.

    Returns:
        a row a column with how many rows ``changed``, and how many rows were compared.
    """
    changed: dict[str, int] = {}
    compared = 0
    times = cut_times(examples, cuts)
    for instant in times:
        wanted = _last_rows(examples, instant, -(-sample // len(times)))
        with tempfile.TemporaryDirectory() as scratch:
            past, rebuilt = Path(scratch) / "events", Path(scratch) / "examples"
            remove_after(events, instant, past)
            build(definition, past, rebuilt)
            found = _matching(rebuilt, wanted)
        compared += wanted.num_rows
        for name in wanted.column_names:
            same = _same(wanted[name], found[name])
            changed[name] = changed.get(name, 0) + int(np.count_nonzero(~same))
    frame = pd.DataFrame({"feature": list(changed), "changed": list(changed.values())})
    return frame, compared


def _last_rows(examples: Path, instant_ms: int, rows: int) -> pa.Table:
    """The last ``rows`` examples at or before an instant, sorted by their keys."""
    day = datetime.fromtimestamp(instant_ms / 1000, UTC).date().isoformat()
    tables: list[pa.Table] = []
    for file in reversed(example_files(examples)):
        if file.parent.name.removeprefix("day=") > day:
            continue
        with pq.ParquetFile(file) as parquet:
            table = parquet.read()
        tables.append(table.filter(pc.less_equal(table["event_time"], pa.scalar(instant_ms, TIME))))
        if sum(t.num_rows for t in tables) >= rows and file.parent.name != f"day={day}":
            break
    whole = pa.concat_tables(tables).sort_by([(key, "ascending") for key in KEYS])
    return whole.slice(max(0, whole.num_rows - rows)).combine_chunks()


def _matching(examples: Path, wanted: pa.Table) -> pa.Table:
    """The rows of ``examples`` with the keys of ``wanted``, in its order; absent rows are null."""
    tables = []
    for file in example_files(examples):
        with pq.ParquetFile(file) as parquet:
            table = parquet.read()
        tables.append(table.filter(pc.is_in(table["event_time"], wanted["event_time"])))
    whole = pa.concat_tables(tables)
    place = {key: i for i, key in enumerate(_keys(whole))}
    order = [place.get(key) for key in _keys(wanted)]
    return whole.take(pa.array(order, pa.int64()))


def _keys(table: pa.Table) -> list[tuple[Any, ...]]:
    return list(zip(*(table[key].to_pylist() for key in KEYS), strict=True))


def _same(a: pa.ChunkedArray, b: pa.ChunkedArray) -> npt.NDArray[np.bool_]:
    """Equality a row; NaN equals NaN, null (an absent row) equals nothing."""

    def value(x: Any) -> Any:
        return "NaN" if isinstance(x, float) and x != x else x

    pairs = zip(a.to_pylist(), b.to_pylist(), strict=True)
    return np.array([y is not None and value(x) == value(y) for x, y in pairs], bool)
