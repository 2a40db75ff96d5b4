"""Examples: every interaction with what was known just before it, as a Beam pipeline.

Rows travel as Arrow batches and references to them, never one by one::

    row groups -> by shard of user ------> sort, cut sequences, count ----\\
               \\-> by shard of each key --> count ----------------------- by slice -> join, sort, write
"""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections import Counter as Tally
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

from hemix.errors import DataError
from hemix.features.beam.options import beam_options, own_errors
from hemix.features.definition import DatasetDefinition
from hemix.features.examples.log import ReadTask, read_tasks, read_types
from hemix.features.examples.plan import EPOCH, Plan, day_of, parts_of_days, shards_for
from hemix.features.examples.shard import BuildShard, Scatter
from hemix.features.examples.write_partitions import PartSummary, WritePart
from hemix.features.schema import SEQUENCES
from hemix.files import atomic_folder, read_json, write_json
from hemix.progress import say


def build(
    definition: DatasetDefinition,
    events: Path,
    out: Path,
    *,
    runner_options: Sequence[str] = (),
    shards: int | None = None,
    days: Collection[date] | None = None,
) -> dict[str, object]:
    """Write the examples of an events folder; the same bytes whatever the runner and the shards.

    A day's part depends on that day and those before it only, so it is the same bytes whether it is
    written alone (``days``) or with all others, and whatever the log holds of later days.

    Args:
        definition: says which columns, sequences and counters.
        events: what ingest wrote.
        out: ``day=YYYY-MM-DD/part-*.parquet`` in ``examples_schema``, ``types.json`` and
            ``summary.json``; replaced as a whole. Workers write beside it, so all must see it.
        runner_options: Beam flags; in this process when empty.
        shards: user shards, by default from the number of rows. Memory is that of one shard.
        days: UTC days whose examples are written; all when None.

    Returns:
        What ``summary.json`` holds.

    Raises:
        DataError: there are no interactions (of ``days``), or a file is damaged or lacks columns.
    """
    tasks = {table: read_tasks(events, table) for table in ("behaviors", "interactions")}
    wanted = None if days is None else tuple(sorted((day - EPOCH).days for day in days))
    if wanted:
        tasks = {table: _until(wanted[-1], found) for table, found in tasks.items()}
    parts = parts_of_days(tasks["interactions"])
    expected = sum(t.rows for t in tasks["interactions"] if wanted is None or day_of(t) in wanted)
    if not expected:
        which = "" if days is None else f" of {', '.join(map(str, sorted(days)))}"
        raise DataError(
            f"{events}: holds no interactions{which}.", hint="Check the sources and ingest."
        )
    rows = sum(task.rows for found in tasks.values() for task in found)
    out.parent.mkdir(parents=True, exist_ok=True)
    with atomic_folder(out) as folder:
        scratch = Path(tempfile.mkdtemp(dir=out.parent, prefix=f".{out.name}.", suffix=".scratch"))
        try:
            plan = Plan(
                definition=definition,
                types=read_types(events),
                events=events,
                scratch=scratch,
                out=folder,
                shards=shards or shards_for(rows),
                parts=parts,
                days=wanted,
            )
            with _watch(folder, len(parts if wanted is None else wanted)):
                _run(plan, [*tasks["behaviors"], *tasks["interactions"]], runner_options)
            summaries = [read_json(path) for path in sorted(scratch.glob("*.summary.json"))]
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        summary = summarise([PartSummary(**value) for value in summaries])
        if summary["rows"] != expected:
            raise AssertionError(f"wrote {summary['rows']} rows of {expected}")
        shutil.copyfile(events / "types.json", folder / "types.json")
        write_json(folder / "summary.json", summary)
    return summary


def _until(day: int, tasks: list[ReadTask]) -> list[ReadTask]:
    """What was known by the end of a day; later events touch none of its examples."""
    return [task for task in tasks if day_of(task) <= day]


def _run(plan: Plan, tasks: list[ReadTask], runner_options: Sequence[str]) -> None:
    import apache_beam as beam

    with (
        own_errors(),
        beam.Pipeline(options=beam_options(runner_options, one_end=True)) as pipeline,
    ):
        (
            pipeline
            | "row groups" >> beam.Create(tasks, reshuffle=True)
            | "scatter" >> beam.FlatMap(Scatter(plan))
            | "by shard" >> beam.GroupByKey()
            | "build shards" >> beam.FlatMap(BuildShard(plan))
            | "by slice" >> beam.GroupByKey()
            | "write parts" >> beam.Map(WritePart(plan))
        )


def summarise(parts: Sequence[PartSummary]) -> dict[str, object]:
    """Rows a day and coverage of the sequences."""
    rows: Tally[int] = Tally()
    for part in parts:
        rows[part.day] += part.rows
    total = sum(rows.values())
    return {
        "rows": total,
        "days": {str(EPOCH + timedelta(days=day)): count for day, count in sorted(rows.items())},
        "sequences": {
            name: {
                "mean_length": sum(part.sequence_events[name] for part in parts) / total,
                "empty_share": sum(part.sequence_empty[name] for part in parts) / total,
            }
            for name in SEQUENCES
        },
    }


@contextmanager
def _watch(folder: Path, days: int, every_s: float = 5.0) -> Iterator[None]:
    """Say every few seconds how many days are begun: the workers may be other processes."""
    done = threading.Event()

    def look() -> None:
        while not done.wait(every_s):
            done_days = {path.parent.name for path in folder.glob("day=*/*.parquet")}
            say(f"build_examples: {len(done_days)} of {days} days begun")

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
