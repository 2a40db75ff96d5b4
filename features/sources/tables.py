"""Read what a definition declares, batch by batch, in our names and types.

Every reader yields polars frames of bounded size; nothing is sorted, joined or dropped here
(that is the ingest step). Times are int64 milliseconds since 1970, UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from hemix.errors import DataError
from hemix.features.arrays.dense_ranks import Ints
from hemix.features.declared_sources import BehaviorSource, InteractionSource, Label, TableSource
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes, label_column
from hemix.features.sources.arrow_types import decoded, elements, plain
from hemix.features.sources.conversions import (
    Kind,
    at_least,
    to_category,
    to_flag,
    to_id,
    to_number,
    to_text,
)
from hemix.features.sources.locations import SourceFile, find_files, sources
from hemix.features.sources.moments import to_time
from hemix.features.sources.place import Place
from hemix.features.sources.readers import BATCH_ROWS, check_columns, schema_of
from hemix.features.sources.roles import check_types, list_faults
from hemix.features.sources.shaping import PLACE_IN_LIST, element_of, one_of, rows_of, shaped_schema
from hemix.features.times import clock_ms
from hemix.files import digest_of

EXPLODED_ROWS = 4_096
POSITION = "position"


def fingerprint(definition: DatasetDefinition) -> str:
    """A digest of which files the definition names now: address, size and etag or change time.

    Raises:
        DataError: a path names no file.
    """
    files = [
        (where, file.url, file.size, file.stamp)
        for where, source in sources(definition)
        for file in find_files(definition, source, where)
    ]
    return digest_of(files, length=32)


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of one file as Arrow has them, lists exploded.

    ``first_row`` counts the file's rows before it; ``parents`` gives each row's row in the batch as
    it was read, where rows were left out or lists were exploded; ``positions`` its place in its list.
    """

    file: SourceFile
    table: pa.Table
    first_row: int
    parents: Ints | None = None
    positions: Ints | None = None

    @property
    def height(self) -> int:
        return int(self.table.num_rows)

    def row(self, index: int) -> int:
        """The file's row, from 1, of a row of the table."""
        return self.first_row + (index if self.parents is None else int(self.parents[index])) + 1

    def within(self, rows: Ints) -> Ints:
        """The rows of the batch as it was read that rows of the table are."""
        return rows if self.parents is None else self.parents[rows]


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One source of a definition, its place in it, its files and their schemas.

    All files were checked to hold the columns that the definition names, of types that can be read
    as what they are named for.
    """

    where: str
    source: TableSource
    files: tuple[SourceFile, ...]
    schemas: tuple[pa.Schema, ...]

    @staticmethod
    def open(definition: DatasetDefinition, source: TableSource, where: str) -> Reader:
        """Find the files and check their schemas; no value is read."""
        files = find_files(definition, source, where)
        needed = needed_columns(source)
        schemas = []
        for file in files:
            schema = schema_of(file, where)
            check_columns(file, schema, needed, where)
            for error in list_faults(source, where, file, schema):
                raise error
            schemas.append(shaped_schema(source, schema))
            check_types(definition, source, where, file, schemas[-1])
        return Reader(where=where, source=source, files=tuple(files), schemas=tuple(schemas))

    def place(self, ours: str, batch: Batch | SourceFile) -> Place:
        source = self.source
        theirs = source.columns.get(ours, ours)
        key = "constants" if ours in source.constants else "columns"
        return _place(f"{self.where}.{key}.{ours}", theirs, batch)

    def has(self, ours: str) -> bool:
        """True when the source has our column, from the log or as a constant."""
        return ours in self.source.columns or ours in self.source.constants

    def batches(self, extra: tuple[str, ...] = ()) -> Iterator[Batch]:
        """Raw batches of bounded size; ``extra`` are further columns of theirs."""
        source = self.source
        columns = list(dict.fromkeys([*source.columns.values(), *source.explode, *extra]))
        columns = [name for name in columns if name != PLACE_IN_LIST]
        for file in self.files:
            for batch in self.read(file, columns):
                yield self._explode(batch) if source.explode else batch

    def read(self, file: SourceFile, columns: list[str]) -> Iterator[Batch]:
        """Batches of a file's own rows as it has them, lists not exploded."""
        rows = EXPLODED_ROWS if self.source.explode else BATCH_ROWS
        for found in rows_of(self.source, file, columns, self.where, rows):
            yield Batch(
                file=file, table=found.table, first_row=found.first_row, parents=found.parents
            )

    def _explode(self, batch: Batch) -> Batch:
        table, source = batch.table, self.source
        values, lengths = elements(table[source.explode[0]])
        columns = {source.explode[0]: values}
        for name in source.explode[1:]:
            columns[name], others = elements(table[name])
            if not others.equals(lengths):
                row = batch.row(pc.not_equal(others, lengths).index(True).as_py())
                raise DataError(
                    f"{self.where}.explode: {source.explode[0]!r} and {name!r} of "
                    f"{batch.file.url}, row {row}, differ in length.",
                    hint="Lists that are exploded together must be parallel.",
                )
        counts = lengths.to_numpy(zero_copy_only=False)
        parents = np.repeat(np.arange(len(counts)), counts)
        starts = np.cumsum(counts) - counts
        rows = pa.array(parents)
        for name in table.column_names:
            if name not in columns:
                columns[name] = decoded(table[name]).take(rows)
        positions = np.arange(len(parents)) - np.repeat(starts, counts)
        exploded = {name: columns[name] for name in table.column_names}
        return replace(
            batch,
            table=pa.table({**exploded, PLACE_IN_LIST: pa.array(positions + 1)}),
            parents=batch.within(parents),
            positions=positions,
        )

    def column(self, batch: Batch, ours: str) -> pl.Series:
        """Our column of a raw batch, from the log or from a constant."""
        if ours in self.source.constants:
            return pl.repeat(self.source.constants[ours], batch.height, eager=True)
        return plain(batch.table[self.source.columns[ours]], self.place(ours, batch))

    def values_and_place(self, batch: Batch, ours: str) -> tuple[pl.Series, Place]:
        """Our column of a batch as it is in the file, a list's elements one after another."""
        theirs, place = self.source.columns[ours], self.place(ours, batch)
        if theirs not in self.source.explode:
            return plain(batch.table[theirs], place), place
        values, lengths = elements(batch.table[theirs])
        counts = lengths.to_numpy(zero_copy_only=False)
        place = replace(place, parents=batch.within(np.repeat(np.arange(len(counts)), counts)))
        return plain(values, place), place


def needed_columns(source: TableSource) -> dict[str, str]:
    """The definition's key -> the log's column, of all columns that a source names."""
    needed = {
        f"columns.{ours}": (element_of(source, theirs) or (theirs, 0))[0]
        for ours, theirs in source.columns.items()
        if theirs != PLACE_IN_LIST
    }
    needed |= {f"where.{theirs}": theirs for theirs in source.where}
    needed |= {f"lists.{theirs}": theirs for theirs in source.lists}
    needed |= {f"explode[{i}]": theirs for i, theirs in enumerate(source.explode)}
    if isinstance(source, InteractionSource):
        needed |= {f"labels.{task}": label.column for task, label in source.labels.items()}
    return needed


def label_values(
    reader: Reader, batch: Batch, task: str, label: Label, types: ColumnTypes
) -> pl.Series:
    """A task's 0/1 labels of a batch.

    Args:
        reader: the source.
        batch: some of its rows.
        task: for messages.
        label: how the task's label is read.
        types: of the log's columns.
    """
    item_id = _id(reader, batch, "item_id", _kind(types.item_id))
    return _label(reader, batch, task, label, item_id)


def _place(key: str, column: str, batch: Batch | SourceFile) -> Place:
    if isinstance(batch, SourceFile):
        return Place(key=key, column=column, url=batch.url)
    return Place(
        key=key,
        column=column,
        url=batch.file.url,
        first_row=batch.first_row,
        parents=batch.parents,
    )


def read_interactions(definition: DatasetDefinition, types: ColumnTypes) -> Iterator[pl.DataFrame]:
    """Batches with request_id, user_id, item_id, event_time, context columns and labels; and known_at
    where the source has it.

    Without a request id in the log, all candidates of one user at one instant share one.
    """
    for index, source in enumerate(definition.interactions):
        reader = Reader.open(definition, source, f"interactions[{index}]")
        extra = tuple(source.labels[task].column for task in definition.tasks)
        for batch in reader.batches(extra):
            keys = _keys(reader, batch, types)
            if reader.has("request_id"):
                request = _id(reader, batch, "request_id", "string")
            else:
                request = (
                    pl.DataFrame(keys)
                    .select(pl.concat_str("user_id", "event_time", separator="-"))
                    .to_series()
                )
            columns = {"request_id": request, **keys}
            for name in definition.context_columns:
                columns[name] = _attribute(reader, batch, name, types.context[name])
            for task in definition.tasks:
                label = source.labels[task]
                columns[label_column(task)] = _label(reader, batch, task, label, keys["item_id"])
            yield pl.DataFrame(columns)


def read_behaviors(definition: DatasetDefinition, types: ColumnTypes) -> Iterator[pl.DataFrame]:
    """Batches with user_id, item_id, event_time, action, time_exact and position; and known_at where
    the source has it.

    ``position`` is 0 for exact times: they order themselves, and an event that two histories
    repeat at different places is still the same event. For inexact ones it is the log's own
    ``position`` column, or the place in the exploded list.
    """
    for index, source in enumerate(definition.behaviors):
        reader = Reader.open(definition, source, f"behaviors[{index}]")
        for batch in reader.batches():
            keys = _keys(reader, batch, types)
            action = _id(reader, batch, "action", "string")
            yield pl.DataFrame({**keys, "action": action}).with_columns(
                pl.lit(source.exact_time).alias("time_exact"),
                _position(source, reader, batch).alias(POSITION),
            )


def read_dimension(
    definition: DatasetDefinition, types: ColumnTypes, side: str
) -> Iterator[tuple[int, pl.DataFrame]]:
    """Batches of ``users`` or ``items`` with the number of the source they come from.

    A batch holds the id, the source's own attributes, ``created_at`` (may be null) when the source
    has it, and ``valid_from`` (0 when the source says none).
    """
    key = "user_id" if side == "users" else "item_id"
    kinds = types.users if side == "users" else types.items
    created = definition.item_created_at if side == "items" else None
    for index, source in enumerate(getattr(definition, side)):
        reader = Reader.open(definition, source, f"{side}[{index}]")
        for batch in reader.batches():
            kind = _kind(types.user_id if side == "users" else types.item_id)
            columns = {key: _id(reader, batch, key, kind)}
            for name in filter(reader.has, kinds):
                columns[name] = _attribute(reader, batch, name, kinds[name])
            for ours, theirs in (("created_at", created), ("valid_from", "valid_from")):
                if theirs and reader.has(theirs):
                    values, place = reader.column(batch, theirs), reader.place(theirs, batch)
                    columns[ours] = times_of(values, source, place, attribute=True)
            frame = pl.DataFrame(columns)
            valid = frame["valid_from"].fill_null(0) if "valid_from" in columns else pl.lit(0)
            yield index, frame.with_columns(valid.cast(pl.Int64).alias("valid_from"))


def times_of(
    values: pl.Series, source: TableSource, place: Place, *, attribute: bool = False
) -> pl.Series:
    """Times of a source's column, int64 milliseconds; read as the source says they are written."""
    return to_time(
        values,
        source.time_unit,
        place,
        attribute=attribute,
        written=source.time_format,
        at_ms=clock_ms(source.time_of_day),
    )


def _keys(reader: Reader, batch: Batch, types: ColumnTypes) -> dict[str, pl.Series]:
    keys = {
        "user_id": _id(reader, batch, "user_id", _kind(types.user_id)),
        "item_id": _id(reader, batch, "item_id", _kind(types.item_id)),
    }
    for name in ("event_time", "known_at"):
        if name == "event_time" or reader.has(name):
            values, place = reader.column(batch, name), reader.place(name, batch)
            keys[name] = times_of(values, reader.source, place)
    return keys


def _id(reader: Reader, batch: Batch, ours: str, kind: Kind) -> pl.Series:
    return to_id(reader.column(batch, ours), kind, reader.place(ours, batch))


def _kind(kind: pa.DataType) -> Kind:
    return "int64" if pa.types.is_int64(kind) else "string"


def _attribute(reader: Reader, batch: Batch, name: str, kind: pa.DataType) -> pl.Series:
    """A declared column; missing in all rows of a source that does not have it."""
    place = reader.place(name, batch)
    if reader.has(name):
        values = reader.column(batch, name)
    else:
        values = pl.repeat(None, batch.height, dtype=pl.Null, eager=True)
    if pa.types.is_float64(kind):
        return to_number(values, place)
    return to_category(values, _kind(kind), place)


def _label(reader: Reader, batch: Batch, task: str, label: Label, item_id: pl.Series) -> pl.Series:
    place = _place(f"{reader.where}.labels.{task}", label.column, batch)
    column = batch.table[label.column]
    if label.contains_item:
        return _contains(column, item_id, place)
    values = plain(column, place)
    if label.equals_item:
        kind: Kind = "string" if item_id.dtype == pl.String else "int64"
        with _mended("Leave the column empty where it names no item, and write ids as the items'."):
            return (to_category(values, kind, place) == item_id).cast(pl.Int8)
    if label.equals is not None:
        wanted = label.equals if isinstance(label.equals, tuple) else (label.equals,)
        with _mended("Numbers with fractions equal nothing: use `at_least`, or write texts."):
            return pl.Series(one_of(to_text(values, place), wanted).astype(np.int8))
    if label.at_least is not None:
        return at_least(values, label.at_least, place)
    return to_flag(values, place)


@contextmanager
def _mended(hint: str) -> Iterator[None]:
    """A value that cannot be what it is compared with is refused with a label's mend."""
    try:
        yield
    except DataError as error:
        raise DataError(error.message, hint=hint) from error


def _contains(lists: pa.ChunkedArray, item_id: pl.Series, place: Place) -> pl.Series:
    """int8 1 where a row's list holds its item: both as ids of the items' one type."""
    values, lengths = elements(lists)
    rows = np.repeat(np.arange(len(lengths)), lengths.to_numpy(zero_copy_only=False))
    inside = replace(place, parents=rows if place.parents is None else place.parents[rows])
    kind: Kind = "string" if item_id.dtype == pl.String else "int64"
    listed = to_category(plain(values, inside), kind, inside)
    hits = rows[(listed == item_id.gather(rows)).to_numpy()]
    return pl.Series((np.bincount(hits, minlength=len(lengths)) > 0).astype(np.int8))


def _position(source: BehaviorSource, reader: Reader, batch: Batch) -> pl.Series:
    if source.exact_time:
        return pl.repeat(0, batch.height, dtype=pl.Int32, eager=True)
    if POSITION in source.columns:
        values, place = _id(reader, batch, POSITION, "int64"), reader.place(POSITION, batch)
        place.refuse(values, (values.abs() >= 2**31), "a position beyond 32 bits")
        return values.cast(pl.Int32)
    if batch.positions is not None:
        return pl.Series(batch.positions.astype(np.int32))
    return pl.repeat(0, batch.height, dtype=pl.Int32, eager=True)
