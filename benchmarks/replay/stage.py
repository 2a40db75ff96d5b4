"""A finished run as a replay needs it: what was known when training ended, what came after, in order."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.features.definition import DatasetDefinition
from hemix.features.examples.log import Log, read_rows, read_tasks, read_types
from hemix.features.feature_views import views_digest
from hemix.features.live.base import base_name, build_base
from hemix.features.schema import TIME, ColumnTypes, label_column
from hemix.files import read_json


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A run of ``hemix run``, and a copy of its registry and feature store with a base.

    Args:
        version: the run's model version; ``folder`` holds ``registry`` and ``feature_store``.
        definition: with the split that the version was trained on.
    """

    version: str
    definition: DatasetDefinition
    types: ColumnTypes
    events: Path
    examples: Path
    predictions: Path
    folder: Path

    @staticmethod
    def of(run: Path, folder: Path) -> Stage:
        """Copy what ``run`` deployed to ``folder``; its base holds nothing of after the training window."""
        record = read_json(run / "run.json")
        made: dict[str, Path] = {}
        for step in record["steps"]:
            made |= {name: Path(path) for name, path in step["artifacts"].items()}
        definition = DatasetDefinition.parse(record["parameters"]["definition"])
        manifest = run / "registry" / "versions" / record["version"] / "transform"
        definition = DatasetDefinition.parse((manifest / "definition.json").read_text())
        types = read_types(made["events"])
        for name in ("registry", "feature_store"):
            shutil.copytree(run / name, folder / name)
        end = definition.split.train.end
        build_base(
            definition,
            types,
            events=made["events"],
            as_of=end,
            until=end,
            out=folder / "feature_store" / base_name(views_digest(definition, types)),
        )
        return Stage(
            version=record["version"],
            definition=definition,
            types=types,
            events=made["events"],
            examples=made["examples"],
            predictions=made["evaluation"] / "predictions.parquet",
            folder=folder,
        )

    @property
    def delay_ms(self) -> int:
        return self.definition.sequences.availability_delay * 1000

    def held_out(self, table: str) -> list[dict[str, Any]]:
        """The log's rows of after the training window, by time; times are milliseconds."""
        log = Log(definition=self.definition, types=self.types, events=self.events)
        schema = log.schema(table)
        pieces = [read_rows(task, schema) for task in read_tasks(self.events, table)]
        rows = pa.concat_tables([schema.empty_table(), *pieces])
        rows = _from(rows, self.definition).sort_by("event_time")
        return _milliseconds(rows).to_pylist()

    def told(self) -> list[dict[str, Any]]:
        """Live events of the held-out log, as a client sends them, in the order in which they become known.

        Behaviours that follow from interactions are not sent: they are read off them, as in ingest.
        """
        events = []
        for number, row in enumerate(self.held_out("interactions")):
            labels = {task: row[label_column(task)] for task in self.definition.tasks}
            events.append(
                _event(f"i{number}", row, self.delay_ms)
                | {"labels": labels, "request_id": row["request_id"]}
            )
        if self.definition.derived_behaviors is None:
            for number, row in enumerate(self.held_out("behaviors")):
                if row["time_exact"]:
                    event = _event(f"b{number}", row, self.delay_ms)
                    events.append(event | {"action": row["action"]})
        return sorted(events, key=lambda event: int(event["known_at"]))

    def asked(self, requests: int) -> Iterator[pa.Table]:
        """Examples of the test window, one row each, spread evenly over it, in time order."""
        window = self.definition.split.test
        parts = [
            pq.read_table(path, partitioning=None)
            for path in sorted(self.examples.glob("day=*/*.parquet"))
            if path.parent.name >= f"day={window.start:%Y-%m-%d}"
        ]
        end = pa.scalar(window.end).cast(TIME)
        rows = _from(pa.concat_tables(parts), self.definition)
        rows = rows.filter(pc.less(rows["event_time"], end)).sort_by("event_time").combine_chunks()
        count = min(requests, rows.num_rows)
        for number in range(count):
            yield rows.slice(number * rows.num_rows // count, 1)


def _event(name: str, row: dict[str, Any], delay_ms: int) -> dict[str, Any]:
    return {
        "event_id": name,
        "user_id": row["user_id"],
        "item_id": row["item_id"],
        "event_time": row["event_time"],
        "known_at": row["event_time"] + delay_ms,
    }


def _from(rows: pa.Table, definition: DatasetDefinition) -> pa.Table:
    start = pa.scalar(definition.split.train.end).cast(TIME)
    return rows.filter(pc.greater_equal(rows["event_time"], start))


def _milliseconds(rows: pa.Table) -> pa.Table:
    place = rows.schema.get_field_index("event_time")
    return rows.set_column(place, "event_time", rows["event_time"].cast(pa.int64()))
