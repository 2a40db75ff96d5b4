"""A look at a definition and its log before anything is run: faults, facts, examples as they would be.

The same ingest and the same kernels as in a run, on what fits into some seconds.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.components.ingest import step as ingest
from hemix.components.validate_data.requests import request_checks
from hemix.errors import HemixError
from hemix.features.checking.faults import faults_of
from hemix.features.definition import DatasetDefinition
from hemix.features.examples.in_memory import build_here
from hemix.features.schema import label_column
from hemix.features.sources.locations import find_files, sources
from hemix.features.sources.shaping import at_most
from hemix.files import read_json

ROWS = 1_000_000
"""Rows of a file that are looked at, unless all are."""
EXAMPLES = 5


@dataclass(frozen=True, kw_only=True)
class Look:
    """What a look found.

    ``faults``: what stops a run, each a sentence and its mend; with any of them the rest is empty.
    ``doubts``: what a run would not refuse, but a person should know. ``summary``: ingest's.
    ``examples``: some rows as build_examples writes them. ``cut``: only the head of files was read.
    """

    faults: tuple[HemixError, ...]
    doubts: tuple[str, ...]
    summary: dict[str, Any]
    examples: tuple[dict[str, Any], ...]
    cut: bool


def look(definition: DatasetDefinition, *, rows: int | None = ROWS) -> Look:
    """Read the definition's files, ``rows`` of each at most (None: all), and say what is wrong."""
    with at_most(rows), tempfile.TemporaryDirectory(prefix="hemix-check-") as folder:
        faults = faults_of(definition)
        if not faults:
            try:
                ingest.run(definition=definition, out_events=Path(folder) / "events")
            except HemixError as error:
                faults = [error]
        if faults:
            return Look(faults=tuple(faults), doubts=(), summary={}, examples=(), cut=False)
        events = Path(folder) / "events"
        summary = read_json(events / "summary.json")
        cut = rows is not None and any(read >= rows for read in summary["rows_read"].values())
        (Path(folder) / "scratch").mkdir()
        examples = _examples(definition, events, Path(folder))
    return Look(
        faults=(),
        doubts=tuple(_doubts(definition, summary, examples, cut=cut)),
        summary=summary,
        examples=_chosen(definition, examples),
        cut=cut,
    )


def _examples(definition: DatasetDefinition, events: Path, folder: Path) -> pa.Table:
    """All examples of the last day of training that the log has, or of its last day."""
    days = sorted(path.name for path in (events / "interactions").glob("day=*"))
    end = definition.split.train.end.date().isoformat()
    trained = [day for day in days if day.removeprefix("day=") < end] or days
    day = date.fromisoformat(trained[-1].removeprefix("day="))
    build_here(definition, events, folder / "scratch", folder / "examples", [day])
    files = sorted((folder / "examples").glob("day=*/*.parquet"))
    return pa.concat_tables([pq.read_table(path, partitioning=None) for path in files])


def _chosen(definition: DatasetDefinition, examples: pa.Table) -> tuple[dict[str, Any], ...]:
    """The latest rows of both outcomes of the first task, those with a history first."""
    lengths = pc.add(
        pc.list_value_length(examples["global_item_id"]),
        pc.list_value_length(examples["realtime_item_id"]),
    )
    table = examples.append_column("__history", pc.greater(lengths, 0).cast(pa.int8()))
    table = table.sort_by([("__history", "descending"), ("event_time", "descending")])
    positive = pc.equal(table[label_column(definition.tasks[0])], 1)
    liked, others = table.filter(positive), table.filter(pc.invert(positive))
    wanted = min(2, liked.num_rows)
    found = pa.concat_tables([liked.slice(0, wanted), others.slice(0, EXAMPLES - wanted)])
    return tuple(found.drop_columns(["__history"]).to_pylist())


def _doubts(
    definition: DatasetDefinition, summary: dict[str, Any], examples: pa.Table, *, cut: bool
) -> Iterator[str]:
    first, last = summary["time_range"]["interactions"]
    for name, split in summary["splits"].items():
        if not split["rows"] and not cut:
            yield (
                f"split.{name}: no interaction lies in it; they lie between {first} and {last}. "
                "Move the window, or check how times are written."
            )
        for task, rate in split["label_rates"].items():
            if rate in (0.0, 1.0):
                yield (
                    f"labels.{task}: every row of split.{name} is {int(rate)}. There is nothing to "
                    "tell apart: check how the label is read, or move the window."
                )
    for name in ("user_id", "item_id"):
        if count := summary["look_alikes"][name]:
            yield (
                f"{name}: {count:,} values differ from another only in blanks, case, leading zeros "
                "or Unicode form. Each is an id of its own: are they meant to be?"
            )
    for column in (*definition.user_columns, *definition.item_columns, *definition.context_columns):
        values = examples[column]
        missing = pc.is_nan(values) if pa.types.is_floating(values.type) else _absent(values)
        if pc.all(missing).as_py():
            yield f"{column}: missing in all {len(values):,} examples looked at."
    empty = [name for name in ("global", "realtime") if not _events(examples, name)]
    for name in empty:
        yield f"the {name} sequence is empty in all {examples.num_rows:,} examples looked at."
    for check in request_checks(definition, examples):
        if not check.passed:
            yield f"{check.check} are {check.value:.0%} of those looked at: {check.note}."


def _absent(values: pa.ChunkedArray) -> pa.ChunkedArray:
    return pc.equal(values, "" if pa.types.is_string(values.type) else -(2**63))


def _events(examples: pa.Table, sequence: str) -> int:
    return int(pc.sum(pc.list_value_length(examples[f"{sequence}_item_id"])).as_py() or 0)


def files_of(definition: DatasetDefinition) -> Iterator[tuple[str, str, int]]:
    """Every source's place, file and size in bytes."""
    for where, source in sources(definition):
        for file in find_files(definition, source, where):
            yield where, file.url, file.size
