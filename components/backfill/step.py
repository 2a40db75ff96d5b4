"""Backfill one day: the day's examples as a partition that is whole or absent."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from hemix import storage
from hemix.components.backfill.days import parse_day
from hemix.errors import StorageError
from hemix.features.definition import DatasetDefinition
from hemix.features.examples.build import build
from hemix.files import read_json, sha256_file, write_json
from hemix.progress import say

SUMMARY = "summary.json"
TYPES = "types.json"
Outcome = Literal["written", "unchanged", "replaced"]


def run(
    *,
    definition: DatasetDefinition,
    events: Path,
    day: str,
    destination: str,
    out_partition: Path,
    runner_options: Sequence[str] = (),
) -> Outcome:
    """Write ``destination/day=YYYY-MM-DD/``; the same events again are the same bytes.

    A partition depends on its own day and those before it, so days may be written in any order and
    at the same time. ``destination`` as a whole is an examples folder (docs/architecture.md). A day
    without interactions becomes a partition that says so.

    Args:
        definition: says which sequences, counters and attributes an example has.
        events: the folder that ingest wrote; holds the history before ``day`` too.
        day: UTC day, YYYY-MM-DD.
        destination: folder or ``s3://`` prefix of the partitions.
        out_partition: JSON: day, location, rows, outcome and SHA-256 of every file.
        runner_options: Beam flags.

    Raises:
        DataError: a file of ``events`` is damaged.
        DefinitionError: ``day`` is not a day.
        StorageError: ``destination`` cannot be written, or holds examples of other column types.
    """
    parse_day(day, "day")
    location = storage.join(destination, f"day={day}")
    _same_types(events / TYPES, destination)
    with tempfile.TemporaryDirectory(prefix="hemix-backfill-") as scratch:
        partition = Path(scratch) / f"day={day}"
        rows = _build(definition, events, day, partition, runner_options)
        files = {p.name: sha256_file(p) for p in sorted(partition.glob("*.parquet"))}
        made: dict[str, Any] = {"day": day, "rows": rows, "files": files}
        write_json(partition / SUMMARY, made)
        there = _summary_at(location)
        if there != made:
            storage.upload(partition, location, replace=True)
    outcome: Outcome = "unchanged" if there == made else "written" if there is None else "replaced"
    write_json(out_partition, {**made, "location": location, "outcome": outcome})
    say(f"backfill: {day}: {rows} rows, {outcome}")
    return outcome


def _build(
    definition: DatasetDefinition,
    events: Path,
    day: str,
    partition: Path,
    runner_options: Sequence[str],
) -> int:
    """The day's part files in ``partition``; returns their rows."""
    wanted = parse_day(day, "day")
    partition.mkdir()
    if not any((events / "interactions" / f"day={day}").glob("*.parquet")):
        return 0
    whole = partition.with_name("examples")
    summary = build(definition, events, whole, days=[wanted], runner_options=runner_options)
    for path in sorted((whole / f"day={day}").glob("*.parquet")):
        path.rename(partition / path.name)
    return int(str(summary["rows"]))


def _same_types(types: Path, destination: str) -> None:
    """Put the column types beside the partitions; refuse to mix two kinds."""
    location = storage.join(destination, TYPES)
    there = storage.read_bytes(location)
    if there is None:
        try:
            storage.write_bytes(location, types.read_bytes(), if_match=storage.ABSENT)
            return
        except storage.Conflict:  # another day was faster
            there = storage.read_bytes(location)
    if there is None or json.loads(there) != read_json(types):
        raise StorageError(
            f"{destination}: holds examples of other column types.",
            hint="Backfill into another folder, or remove this one and backfill all days.",
        )


def _summary_at(location: str) -> dict[str, Any] | None:
    """What a whole partition at ``location`` says of itself; None when there is none."""
    if not storage.is_complete(location):
        return None
    data = storage.read_bytes(storage.join(location, SUMMARY))
    try:
        return None if data is None else json.loads(data)
    except ValueError:
        return {}  # whatever it is, it is not ours: replace it
