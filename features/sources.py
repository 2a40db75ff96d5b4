"""Read what a definition declares, batch by batch, in our names and types.

Every reader yields polars frames of bounded size; nothing is sorted, joined or dropped here
(that is the ingest step). Times are int64 milliseconds since 1970, UTC.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import pyarrow as pa

from features.conversions import Kind, Place, to_category, to_flag, to_id, to_number, to_time
from features.definition import (
    BehaviorSource,
    DatasetDefinition,
    InteractionSource,
    Label,
    TableSource,
)
from features.locations import SourceFile, find_files, sources
from features.readers import BATCH_ROWS, check_columns, read_batches, schema_of
from features.schema import ColumnTypes, label_column
from hemix.errors import DataError, DefinitionError
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
class Reader:
    """One source of a definition, its place in it and its files, checked to hold its columns."""

    where: str
    source: TableSource
    files: tuple[SourceFile, ...]

    @staticmethod
    def open(definition: DatasetDefinition, source: TableSource, where: str) -> Reader:
        """Find the files and check that each holds every column that the definition names."""
        if both := set(source.columns) & set(source.constants):
            raise DefinitionError(f"{where}: {sorted(both)} stand in columns and in constants.")
        files = find_files(definition, source, where)
        needed = {f"columns.{ours}": theirs for ours, theirs in source.columns.items()}
        needed |= {f"explode[{i}]": theirs for i, theirs in enumerate(source.explode)}
        if isinstance(source, InteractionSource):
            needed |= {f"labels.{task}": label.column for task, label in source.labels.items()}
        for file in files:
            schema = schema_of(file, where)
            check_columns(file, schema, needed, where)
            for name in source.explode:
                kind = schema.field(name).type
                if not (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
                    raise DataError(
                        f"{where}.explode: {name!r} of {file.url} holds {kind}, not lists.",
                        hint="Take it out of `explode`: lists are read from Parquet list columns.",
                    )
        return Reader(where=where, source=source, files=tuple(files))

    def place(self, ours: str, file: SourceFile) -> Place:
        source = self.source
        theirs = source.columns.get(ours, ours)
        key = "constants" if ours in source.constants else "columns"
        return Place(key=f"{self.where}.{key}.{ours}", column=theirs, url=file.url)

    def frames(self, extra: tuple[str, ...] = ()) -> Iterator[tuple[SourceFile, pl.DataFrame]]:
        """Raw batches: their names, lists exploded, plus ``_position`` of a list's element."""
        source = self.source
        columns = list(dict.fromkeys([*source.columns.values(), *source.explode, *extra]))
        rows = EXPLODED_ROWS if source.explode else BATCH_ROWS
        for file in self.files:
            for table in read_batches(file, columns, self.where, rows):
                frame = pl.DataFrame(pl.from_arrow(table))
                yield file, self._explode(frame, file) if source.explode else frame

    def _explode(self, frame: pl.DataFrame, file: SourceFile) -> pl.DataFrame:
        first, *others = self.source.explode
        length = frame[first].list.len().fill_null(0)
        for name in others:
            if not (frame[name].list.len().fill_null(0) == length).all():
                raise DataError(
                    f"{self.where}.explode: {first!r} and {name!r} of {file.url} differ in length "
                    "in some rows.",
                    hint="Lists that are exploded together must be parallel.",
                )
        frame = frame.with_columns(pl.int_ranges(0, length, dtype=pl.Int32).alias("_position"))
        return frame.filter(length > 0).explode([*self.source.explode, "_position"])

    def column(self, frame: pl.DataFrame, ours: str) -> pl.Series:
        """Our column of a raw batch, from the log or from a constant."""
        if ours in self.source.constants:
            return pl.repeat(self.source.constants[ours], frame.height, eager=True)
        return frame[self.source.columns[ours]]


def read_interactions(definition: DatasetDefinition, types: ColumnTypes) -> Iterator[pl.DataFrame]:
    """Batches with request_id, user_id, item_id, event_time, context columns and labels.

    Without a request id in the log, all candidates of one user at one instant share one.
    """
    for index, source in enumerate(definition.interactions):
        reader = Reader.open(definition, source, f"interactions[{index}]")
        extra = tuple(source.labels[task].column for task in definition.tasks)
        for file, frame in reader.frames(extra):
            keys = _keys(reader, file, frame, types)
            if "request_id" in (*source.columns, *source.constants):
                place = reader.place("request_id", file)
                request = to_id(reader.column(frame, "request_id"), "string", place)
            else:
                request = (
                    pl.DataFrame(keys)
                    .select(pl.concat_str("user_id", "event_time", separator="-"))
                    .to_series()
                )
            columns = {"request_id": request, **keys}
            for name in definition.context_columns:
                columns[name] = _attribute(reader, file, frame, name, types.context[name])
            for task in definition.tasks:
                columns[label_column(task)] = _label(reader, file, frame, task, source.labels[task])
            yield pl.DataFrame(columns)


def read_behaviors(definition: DatasetDefinition, types: ColumnTypes) -> Iterator[pl.DataFrame]:
    """Batches with user_id, item_id, event_time, action, time_exact and position.

    ``position`` is 0 for exact times: they order themselves, and an event that two histories
    repeat at different places is still the same event. For inexact ones it is the log's own
    ``position`` column, or the place in the exploded list.
    """
    for index, source in enumerate(definition.behaviors):
        reader = Reader.open(definition, source, f"behaviors[{index}]")
        _refuse_extra(reader, {"user_id", "item_id", "event_time", "action", POSITION})
        for file, frame in reader.frames():
            keys = _keys(reader, file, frame, types)
            action = to_id(reader.column(frame, "action"), "string", reader.place("action", file))
            yield pl.DataFrame({**keys, "action": action}).with_columns(
                pl.lit(source.exact_time).alias("time_exact"),
                _position(source, reader, file, frame).alias(POSITION),
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
        present = (*source.columns, *source.constants)
        for file, frame in reader.frames():
            kind = _kind(types.user_id if side == "users" else types.item_id)
            columns = {key: to_id(reader.column(frame, key), kind, reader.place(key, file))}
            for name in (name for name in kinds if name in present):
                columns[name] = _attribute(reader, file, frame, name, kinds[name])
            for ours, theirs in (("created_at", created), ("valid_from", "valid_from")):
                if theirs and theirs in present:
                    values, place = reader.column(frame, theirs), reader.place(theirs, file)
                    columns[ours] = to_time(values, source.time_unit, place, optional=True)
            batch = pl.DataFrame(columns)
            valid = batch["valid_from"].fill_null(0) if "valid_from" in columns else pl.lit(0)
            yield index, batch.with_columns(valid.cast(pl.Int64).alias("valid_from"))


def _keys(
    reader: Reader, file: SourceFile, frame: pl.DataFrame, types: ColumnTypes
) -> dict[str, pl.Series]:
    def place(name: str) -> Place:
        return reader.place(name, file)

    unit = reader.source.time_unit
    return {
        "user_id": to_id(reader.column(frame, "user_id"), _kind(types.user_id), place("user_id")),
        "item_id": to_id(reader.column(frame, "item_id"), _kind(types.item_id), place("item_id")),
        "event_time": to_time(reader.column(frame, "event_time"), unit, place("event_time")),
    }


def _kind(kind: pa.DataType) -> Kind:
    return "int64" if pa.types.is_int64(kind) else "string"


def _attribute(
    reader: Reader, file: SourceFile, frame: pl.DataFrame, name: str, kind: pa.DataType
) -> pl.Series:
    values, place = reader.column(frame, name), reader.place(name, file)
    if pa.types.is_float64(kind):
        return to_number(values, place)
    return to_category(values, _kind(kind), place)


def _label(
    reader: Reader, file: SourceFile, frame: pl.DataFrame, task: str, label: Label
) -> pl.Series:
    place = Place(key=f"{reader.where}.labels.{task}", column=label.column, url=file.url)
    values = frame[label.column]
    if label.contains_item:
        if not isinstance(values.dtype, pl.List):
            raise place.error(f"holds {values.dtype}, not lists", "`contains_item` needs a list.")
        item = reader.column(frame, "item_id").cast(values.dtype.inner)
        hit = pl.DataFrame({"list": values, "item": item}).select(
            pl.col("list").list.contains(pl.col("item")).fill_null(False)
        )
        return hit.to_series().cast(pl.Int8)
    if label.at_least is not None:
        # A missing measurement means that the thing was not done.
        numbers = to_number(values, place).fill_nan(float("-inf"))
        return (numbers >= label.at_least).cast(pl.Int8)
    return to_flag(values, place)


def _position(
    source: BehaviorSource, reader: Reader, file: SourceFile, frame: pl.DataFrame
) -> pl.Series:
    zero = pl.repeat(0, frame.height, dtype=pl.Int32, eager=True)
    if source.exact_time:
        return zero
    if POSITION in source.columns:
        values = to_id(reader.column(frame, POSITION), "int64", reader.place(POSITION, file))
        return values.cast(pl.Int32)
    return frame["_position"] if source.explode else zero


def _refuse_extra(reader: Reader, used: set[str]) -> None:
    source = reader.source
    if extra := set(source.columns) - used | set(source.constants) - used:
        raise DefinitionError(
            f"{reader.where}.columns: {sorted(extra)} would not be used; events hold user_id, "
            "item_id, event_time and action.",
            hint="Attributes of items belong under `items`, and `sequences.columns` names them.",
        )
