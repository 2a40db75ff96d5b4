"""Examples of a few days in this process, without Beam: for a look at a log that fits in memory."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Collection, Iterable
from datetime import date
from pathlib import Path
from typing import Any

from hemix.features.definition import DatasetDefinition
from hemix.features.examples.log import read_tasks, read_types
from hemix.features.examples.plan import EPOCH, Plan, parts_of_days
from hemix.features.examples.shard import BuildShard, Scatter
from hemix.features.examples.write_partitions import WritePart


def build_here(
    definition: DatasetDefinition, events: Path, scratch: Path, out: Path, days: Collection[date]
) -> None:
    """Write the examples of ``days``, the stages of :func:`hemix.features.examples.build.build`.

    Args:
        definition: says which columns, sequences and counters.
        events: what ingest wrote.
        scratch: an empty folder for what is shuffled.
        out: ``day=YYYY-MM-DD/part-*.parquet``.
        days: UTC days whose examples are written.
    """
    tasks = [t for table in ("behaviors", "interactions") for t in read_tasks(events, table)]
    plan = Plan(
        definition=definition,
        types=read_types(events),
        events=events,
        scratch=scratch,
        out=out,
        shards=1,
        parts=parts_of_days([t for t in tasks if t.table == "interactions"]),
        days=tuple(sorted((day - EPOCH).days for day in days)),
    )
    scattered = _grouped(itertools.chain.from_iterable(map(Scatter(plan), tasks)))
    built = _grouped(itertools.chain.from_iterable(map(BuildShard(plan), scattered)))
    for group in built:
        WritePart(plan)(group)


def _grouped(pairs: Iterable[tuple[Any, Any]]) -> list[tuple[Any, list[Any]]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return list(groups.items())
