"""The fitted transform, loaded: what evaluation applies to tables and serving to requests."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hemix.errors import DataError, StorageError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes, label_column
from hemix.features.transform.columns import MISSING, Column, raw_columns, to_arrow
from hemix.features.transform.pruned import pruned_function, restore
from hemix.features.transform_plan import RawColumn, make_plan
from hemix.files import digest_of, read_json, sha256_folder
from hemix.spec import FeatureSpec, Side

ALL_SIDES: frozenset[Side] = frozenset({"user", "item", "context"})
REQUEST_SIDES: frozenset[Side] = frozenset({"user", "context"})
ITEM_SIDES: frozenset[Side] = frozenset({"item"})
TABLE_ROWS = 8192


class TransformGraph:
    """A transform artifact that can be applied; TensorFlow is imported at its first use.

    Thread-safe. A row's result depends on nothing but the row: any batching, any set of sides and
    any order give the same bits. Values that training did not see become hash buckets, missing
    ones 0.

    Example:
        >>> graph = TransformGraph.load(Path("transform"))
        >>> graph.apply_columns({"tab": np.array([1]), ...}, {"context"})
    """

    def __init__(
        self, *, folder: Path, spec: FeatureSpec, definition: DatasetDefinition, types: ColumnTypes
    ) -> None:
        self.folder, self.spec, self.definition, self.types = folder, spec, definition, types
        buckets = {v.name: v.oov_buckets for v in spec.vocabularies}
        self.plan = make_plan(definition, types, read_json(folder / "priors.json"), buckets)
        self._functions: dict[frozenset[Side], Callable[[Mapping[str, Column]], dict[str, Column]]]
        self._functions = {}
        self._restored: Any = None
        self._lock = threading.Lock()
        self._digest: str | None = None

    @staticmethod
    def load(folder: Path, *, warm: Collection[Collection[Side]] = ()) -> TransformGraph:
        """Open a transform artifact; ``warm`` names sets of sides to prepare before the first call.

        Raises:
            StorageError: the folder is not a whole transform artifact; the message names the file.
        """
        for name in ("spec.json", "definition.json", "types.json", "priors.json", "transform_fn"):
            if not (folder / name).exists():
                raise StorageError(
                    f"{folder / name} is missing.",
                    hint="Give the folder that the transform step wrote.",
                )
        graph = TransformGraph(
            folder=folder,
            spec=FeatureSpec.read(folder / "spec.json"),
            definition=DatasetDefinition.parse((folder / "definition.json").read_text()),
            types=ColumnTypes.from_json(read_json(folder / "types.json")),
        )
        for sides in warm:
            graph.warm(sides)
        return graph

    def digest(self) -> str:
        """A short hash of every file of the artifact that decides results."""
        if self._digest is None:
            files = sha256_folder(self.folder)
            files.pop("statistics.json", None)
            self._digest = digest_of(files)
        return self._digest

    def inputs(self, sides: Collection[Side] = ALL_SIDES) -> tuple[RawColumn, ...]:
        """The raw columns that ``apply_columns`` needs for these sides: theirs, and those of other
        sides that their rates are made of."""
        lent = self.plan.lent(sides)
        return tuple(c for c in self.plan.raw if c.side in sides or c in lent)

    def warm(self, sides: Collection[Side] = ALL_SIDES) -> None:
        """Build the function of these sides and run it once on a row of missing values."""
        row: dict[str, Column] = {}
        for column in self.inputs(sides):
            dtype = {"int": np.int64, "string": object, "float": np.float64}[column.kind]
            value = np.array([MISSING[column.kind]], dtype)
            row[column.name] = (value, np.array([0, 1], np.int64)) if column.ragged else value
        self.apply_columns(row, sides)

    def apply_columns(
        self, columns: Mapping[str, Column], sides: Collection[Side]
    ) -> dict[str, Column]:
        """Transform the raw columns of these sides; others in ``columns`` are not looked at.

        All columns have the same number of rows. Strings are numpy object arrays, numbers int64 or
        float64, lists ``(values, offsets)``. Ids come back as int32, numbers as float32.

        Raises:
            DataError: a needed column is absent; the message names it.
        """
        wanted = frozenset(sides)
        function = self._functions.get(wanted)
        if function is None:
            with self._lock:
                if wanted not in self._functions:
                    self._functions[wanted] = self._build(wanted)
                function = self._functions[wanted]
        try:
            return function(columns)
        except KeyError as error:
            if error.args[0] in {column.name for column in self.plan.raw}:
                raise DataError(f"Column {error.args[0]!r} is missing.") from error
            raise

    def apply_request(
        self, user: Mapping[str, Column], items: Mapping[str, Column]
    ) -> tuple[dict[str, Column], dict[str, Column]]:
        """Transform one request: user and context columns of 1 row, item columns of N rows.

        Raises:
            DataError: a needed column is absent; the message names it.
        """
        rows = len(items["item_id"])
        lent = {
            column.name: np.repeat(np.asarray(user[column.name]), rows)
            for column in self.plan.lent(ITEM_SIDES)
        }
        return (
            self.apply_columns(user, REQUEST_SIDES),
            self.apply_columns({**items, **lent}, ITEM_SIDES),
        )

    def apply_table(self, table: pa.Table) -> pa.Table:
        """Transform a table of examples, any size: keys and labels (when present), then features.

        Raises:
            DataError: a column is absent or has the wrong type; the message names it.
        """
        labels = [label_column(task) for task in self.definition.tasks]
        passed = [name for name in (*self.spec.keys, *labels) if name in table.column_names]
        batches = [
            self._apply_batch(table.slice(start, TABLE_ROWS), passed)
            for start in range(0, max(table.num_rows, 1), TABLE_ROWS)
        ]
        return pa.Table.from_batches(batches)

    def _apply_batch(self, table: pa.Table, passed: list[str]) -> pa.RecordBatch:
        columns = self.apply_columns(raw_columns(table, self.plan.raw), ALL_SIDES)
        arrays = [_whole(table.column(name)) for name in passed]
        arrays += [to_arrow(columns[name]) for name in self.outputs()]
        return pa.RecordBatch.from_arrays(arrays, names=[*passed, *self.outputs()])

    def outputs(self, sides: Collection[Side] = ALL_SIDES) -> tuple[str, ...]:
        """The transformed columns of these sides, in the specification's order."""
        names = [c.name for c in self.spec.categorical if c.side in sides]
        for number in self.spec.numeric:
            if number.side in sides:
                names += [number.name, number.bucket]
        if "user" in sides:
            names += [c.column for sequence in self.spec.sequences for c in sequence.columns]
        return tuple(names)

    def _build(self, sides: frozenset[Side]) -> Callable[[Mapping[str, Column]], dict[str, Column]]:
        if self._restored is None:
            self._restored = restore(self.folder / "transform_fn" / "transform_fn")
        lists = {
            c.column: f"{sequence.name}_item_id"
            for sequence in self.spec.sequences
            for c in sequence.columns
        }
        return pruned_function(self._restored, self.inputs(sides), self.outputs(sides), lists)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
