"""What a run of build_examples does: which files it reads, how many shards, which parts it writes."""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.definition import Counter, DatasetDefinition
from features.dimensions import Dimension, load_dimension
from features.keys import Ints
from features.schema import (
    ColumnTypes,
    behaviors_schema,
    interactions_schema,
    items_schema,
    users_schema,
)
from features.sequences import DAY_MS
from hemix.errors import DataError
from hemix.files import read_json

ROWS_A_SHARD = 131_072
ROWS_A_PART = 32_768
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True)
class ReadTask:
    """One row group of an event file; ``first_row`` numbers its rows within its table."""

    table: str
    path: str
    row_group: int
    rows: int
    first_row: int


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything a worker needs; small, and pickled into the pipeline."""

    definition: DatasetDefinition
    types: ColumnTypes
    events: Path
    scratch: Path
    out: Path
    shards: int
    parts: dict[int, int]
    """Day number since 1970 -> into how many equal spans of time its output is cut."""

    @property
    def users(self) -> Dimension:
        schema = users_schema(self.definition, self.types)
        return load_dimension(self.events / "users", schema, "user_id")

    @property
    def items(self) -> Dimension:
        schema = items_schema(self.definition, self.types)
        return load_dimension(self.events / "items", schema, "item_id")

    def schema(self, table: str) -> pa.Schema:
        if table == "behaviors":
            return behaviors_schema(self.types)
        return interactions_schema(self.definition, self.types)

    def slices(self, times: Ints) -> Ints:
        """The output slice ``[rows]`` of each time: ``day * 2^20 + part``."""
        days, within = np.divmod(times, DAY_MS)
        result = days << 20
        for day, parts in self.parts.items():
            if parts > 1:
                here = days == day
                result[here] += within[here] * parts // DAY_MS
        return result


def counter_names(definition: DatasetDefinition, counter: Counter) -> list[str]:
    """The columns of a counter."""
    events = definition.counter_events(counter)
    return [counter.column(event, window) for event in events for window in counter.windows]


def read_types(events: Path) -> ColumnTypes:
    """The column types that ingest found."""
    return ColumnTypes.from_json(read_json(events / "types.json"))


def read_tasks(events: Path, table: str) -> list[ReadTask]:
    """The row groups of an event table, in the order of the file names.

    Raises:
        DataError: a file is not whole Parquet; names it.
    """
    tasks: list[ReadTask] = []
    first = 0
    for path in sorted((events / table).glob("day=*/*.parquet")):
        try:
            metadata = pq.read_metadata(path)
        except (pa.ArrowException, OSError) as error:
            raise DataError(
                f"{path}: not a whole Parquet file ({error}).", hint="Run ingest again."
            ) from error
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            tasks.append(
                ReadTask(table=table, path=str(path), row_group=group, rows=rows, first_row=first)
            )
            first += rows
    return tasks


def read_rows(task: ReadTask, schema: pa.Schema) -> pa.Table:
    """The rows of a task, with exactly the columns of ``schema``.

    Raises:
        DataError: a column is missing, has another type, or the file is damaged.
    """
    try:
        with pq.ParquetFile(task.path) as file:
            found = file.schema_arrow.names
            if missing := [name for name in schema.names if name not in found]:
                raise DataError(
                    f"{task.path}: lacks the columns {missing}.", hint="Run ingest again."
                )
            table = file.read_row_group(task.row_group, columns=schema.names)
        return table.select(schema.names).cast(schema)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{task.path}: cannot read ({error}).", hint="Run ingest again.") from error


def parts_of_days(tasks: list[ReadTask], rows_a_part: int = ROWS_A_PART) -> dict[int, int]:
    """How many parts each day is written in; from the rows of its folder alone."""
    rows: Tally[int] = Tally()
    for task in tasks:
        day = date.fromisoformat(Path(task.path).parent.name.removeprefix("day="))
        rows[(day - EPOCH).days] += task.rows
    return {day: -(-count // rows_a_part) for day, count in sorted(rows.items())}


def slice_name(number: int) -> str:
    """``day=YYYY-MM-DD/part-NNNNN.parquet`` of a slice."""
    day, part = number >> 20, number & (2**20 - 1)
    return f"day={EPOCH + timedelta(days=day)}/part-{part:05d}.parquet"


def shards_for(rows: int) -> int:
    """Enough shards that one holds about :data:`ROWS_A_SHARD` rows; at least 4."""
    return max(4, -(-rows // ROWS_A_SHARD))
