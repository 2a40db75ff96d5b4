"""The events folder that ingest wrote, read piece by piece."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hemix.errors import DataError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import (
    ColumnTypes,
    behaviors_schema,
    interactions_schema,
    items_schema,
    users_schema,
)
from hemix.features.sources.dimensions import Dimension, load_dimension
from hemix.files import read_json


@dataclass(frozen=True, kw_only=True)
class ReadTask:
    """One row group of an event file; ``first_row`` numbers its rows within its table."""

    table: str
    path: str
    row_group: int
    rows: int
    first_row: int


@dataclass(frozen=True, kw_only=True)
class Log:
    """Where the tables of a log are and what they look like."""

    definition: DatasetDefinition
    types: ColumnTypes
    events: Path

    @property
    def users(self) -> Dimension:
        schema = users_schema(self.definition, self.types)
        return load_dimension(self.events / "users", schema, "user_id")

    @property
    def items(self) -> Dimension:
        schema = items_schema(self.definition, self.types)
        return load_dimension(self.events / "items", schema, "item_id")

    def schema(self, table: str) -> pa.Schema:
        """The schema of ``behaviors`` or ``interactions``."""
        if table == "behaviors":
            return behaviors_schema(self.types)
        return interactions_schema(self.definition, self.types)

    @property
    def delay_ms(self) -> int:
        """How long after an event it is known."""
        return self.definition.sequences.delay_s * 1000


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
