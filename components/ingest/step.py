"""Ingest: any source that a definition names becomes the events artifact.

Facts are spilled by day as they are read and finished a day at a time, so memory is bounded by the
largest day. The result does not depend on the order of files or rows.
"""

from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import polars as pl

from hemix.components.ingest.dimensions import merge_dimension
from hemix.components.ingest.lateness import Lateness
from hemix.components.ingest.repeats import Repeats, one_row_a_key
from hemix.components.ingest.spill import DaySpill, to_schema, write_table
from hemix.components.ingest.summary import FactSummary, LabelSummary, summary_of
from hemix.errors import DataError
from hemix.features.consistency import near
from hemix.features.declared_sources import DerivedBehaviors
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import (
    ColumnTypes,
    behaviors_schema,
    interactions_schema,
    items_schema,
    label_column,
    users_schema,
)
from hemix.features.served_as import require_types
from hemix.features.sources.column_types import infer_types
from hemix.features.sources.tables import read_behaviors, read_interactions
from hemix.files import atomic_folder, write_json
from hemix.progress import progress, say

INTERACTION_KEYS = ["request_id", "user_id", "item_id", "event_time"]
EVENT_KEYS = ["user_id", "item_id", "event_time", "action", "time_exact", "position"]


def run(*, definition: DatasetDefinition, out_events: Path) -> None:
    """Read the log and write ``events/`` (behaviors, interactions, users, items, types, summary).

    Exact repeats are dropped and counted. Interactions that share a key but differ become one row
    with the greatest label, counted as a conflict.

    Raises:
        DefinitionError, DataError, StorageError: what does not fit, named with file and column;
            ``out_events`` is then as it was before.
    """
    types = infer_types(definition)
    require_types(definition, types)
    with atomic_folder(out_events) as folder:
        ingest = _Ingest(definition, types, folder)
        ingest.interactions()
        ingest.behaviors()
        ingest.require_actions()
        ingest.dimension("users")
        ingest.dimension("items")
        shutil.rmtree(folder / ".spill", ignore_errors=True)
        write_json(folder / "types.json", types.to_json())
        ingest.finish()


class _Ingest:
    def __init__(self, definition: DatasetDefinition, types: ColumnTypes, folder: Path) -> None:
        self._definition, self._types, self._folder = definition, types, folder
        self._repeats = {t: Repeats() for t in ("interactions", "behaviors", "users", "items")}
        self._late = {
            table: Lateness(table, definition.sequences) for table in ("interactions", "behaviors")
        }
        self._read: dict[str, int] = {}
        self._written: dict[str, int] = {}
        self._facts = {"interactions": FactSummary(), "behaviors": FactSummary()}
        self._labels = LabelSummary(definition)
        self._actions: Counter[str] = Counter()
        self._inexact = 0
        self._events = DaySpill(folder / ".spill" / "behaviors")

    def interactions(self) -> None:
        definition, types = self._definition, self._types
        spill = DaySpill(self._folder / ".spill" / "interactions")
        for frame in progress(read_interactions(definition, types), "interactions: batches read"):
            spill.add(self._late["interactions"].without(frame))
        if spill.rows == 0:
            raise DataError(
                "interactions: the files hold no rows that are the definition's.",
                hint=f"Check interactions[].{', '.join(self._choosing())}.",
            )
        self._late["interactions"].require_few()
        labels = [label_column(task) for task in definition.tasks]
        schema = interactions_schema(definition, types)
        for day, rows in progress(spill.days(), "interactions: days written"):
            frame = one_row_a_key(rows, INTERACTION_KEYS, labels, self._repeats["interactions"])
            frame = frame.sort("event_time", "user_id", "item_id", "request_id")
            write_table(to_schema(frame, schema), self._part("interactions", day))
            self._facts["interactions"].add(day, frame)
            self._labels.add(frame)
            if definition.derived_behaviors:
                self._events.add(_derived(frame, definition.derived_behaviors))
        self._repeats["interactions"].require_few(spill.rows, definition.repeats_at_most)
        self._read["interactions"] = spill.rows
        self._written["interactions"] = self._facts["interactions"].rows

    def _choosing(self) -> list[str]:
        """The keys that say which rows of which files are interactions."""
        said = [key for key in ("where", "explode")
                if any(getattr(source, key) for source in self._definition.interactions)]  # fmt: skip
        return ["paths", *said]

    def behaviors(self) -> None:
        derived = self._events.rows
        frames = read_behaviors(self._definition, self._types)
        for frame in progress(frames, "behaviors: batches read"):
            self._events.add(self._late["behaviors"].without(frame))
        self._late["behaviors"].require_few()
        schema = behaviors_schema(self._types)
        for day, rows in progress(self._events.days(), "behaviors: days written"):
            frame = one_row_a_key(rows, EVENT_KEYS, [], self._repeats["behaviors"])
            frame = frame.sort(
                "event_time", "user_id", "position", "item_id", "action", "time_exact"
            )
            write_table(to_schema(frame, schema), self._part("behaviors", day))
            self._facts["behaviors"].add(day, frame)
            self._actions.update(dict(frame["action"].value_counts().iter_rows()))
            self._inexact += int((~frame["time_exact"]).sum())
        self._read["behaviors"] = self._events.rows - derived
        self._written["behaviors"] = self._facts["behaviors"].rows
        self._derived = derived
        if self._facts["behaviors"].rows == 0:
            raise DataError(
                "behaviors: no event was found; sequences would all be empty.",
                hint="Check behaviors[].paths, or derived_behaviors and the labels it names.",
            )

    def require_actions(self) -> None:
        """Refuse a counter of an action that the log does not have.

        Raises:
            DataError: names the counter and the log's actions.
        """
        for number, counter in enumerate(self._definition.counters):
            for action in counter.actions:
                if action not in self._actions:
                    raise DataError(
                        f"counters[{number}].actions: no behaviour has the action {action!r}"
                        f"{near(action, self._actions)}.",
                        hint="Write the action as the log does, or take it out.",
                    )

    def dimension(self, side: str) -> None:
        rows, frame = merge_dimension(self._definition, self._types, side, self._repeats[side])
        schema = (users_schema if side == "users" else items_schema)(self._definition, self._types)
        write_table(to_schema(frame, schema), self._folder / side / "part-0.parquet")
        self._read[side], self._written[side] = rows, frame.height

    def finish(self) -> None:
        facts = summary_of(
            read=self._read,
            written=self._written,
            derived=self._derived,
            repeats=self._repeats,
            facts=self._facts,
            labels=self._labels,
            actions=dict(self._actions),
            inexact=self._inexact,
            late=self._late,
        )
        write_json(self._folder / "summary.json", facts)
        dropped = facts["exact_repeats_dropped"]["interactions"]
        say(
            f"ingest: {facts['rows']['interactions']:,} interactions of {facts['users']:,} users and "
            f"{facts['items']:,} items, {facts['rows']['behaviors']:,} behaviors; "
            f"{dropped:,} exact repeats dropped"
        )
        if (repeats := self._repeats["interactions"]).conflicts:
            say(
                f"ingest: {repeats.differing:,} interactions became {repeats.conflicts:,}: those of "
                "one request, user, item and time count once, with their greatest labels. Are the "
                "times coarser than the events?"
            )
        for table, late in self._late.items():
            if late.late:
                say(
                    f"ingest: {late.late:,} of {late.rows:,} {table} became known later than "
                    "availability_delay says: training sees them before serving can"
                )
        for name in ("user_id", "item_id"):
            if pairs := self._facts["interactions"].look_alikes(name):
                one, other = pairs[0]
                say(
                    f"ingest: {len(pairs):,} values of {name} differ from another only in blanks, "
                    f"case, leading zeros or Unicode form, such as {other!r} from {one!r}: each is "
                    "an id of its own"
                )

    def _part(self, table: str, day: str) -> Path:
        return self._folder / table / f"day={day}" / "part-0.parquet"


def _derived(frame: pl.DataFrame, derived: DerivedBehaviors) -> pl.DataFrame:
    """One event an interaction: its strongest positive label's action (the last declared)."""
    action = pl.lit(derived.otherwise, dtype=pl.String)
    for task, name in derived.actions.items():
        action = pl.when(pl.col(label_column(task)) == 1).then(pl.lit(name)).otherwise(action)
    return frame.select(
        "user_id",
        "item_id",
        "event_time",
        action.alias("action"),
        pl.lit(True).alias("time_exact"),
        pl.lit(0, dtype=pl.Int32).alias("position"),
    ).filter(pl.col("action").is_not_null())
