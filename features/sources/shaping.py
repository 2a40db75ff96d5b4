"""What a source says of its rows and lists: which rows are its own, how lists are written as text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints
from hemix.features.declared_sources import NoneOf, Scalar, TableSource
from hemix.features.sources.arrow_types import element, plain
from hemix.features.sources.conversions import FALSE, TRUE, to_text
from hemix.features.sources.locations import SourceFile
from hemix.features.sources.place import Place
from hemix.features.sources.readers import PLAIN_TEXT, read_batches

PLACE_IN_LIST = "$position"
"""Names, in ``columns``, the place of an element in its exploded list, from 1."""
JSON, OWN = "json", "list"
"""Lists written as JSON, and lists that are lists already."""
_ELEMENT = re.compile(r"(.+)\[([1-9][0-9]{0,3})\]")
_NAMED = {"tab": "\t", "space": " ", "comma": ","}


_MOST: ContextVar[int | None] = ContextVar("rows of a file that are read", default=None)


@contextmanager
def at_most(rows: int | None) -> Iterator[None]:
    """Inside, only about the first ``rows`` rows of each file are read; None: all."""
    before = _MOST.set(rows)
    try:
        yield
    finally:
        _MOST.reset(before)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows of one file, those of other kinds left out and lists in text made lists.

    ``first_row`` counts the file's rows before the batch; ``parents`` gives each row's place in the
    batch as it was read, where rows were left out.
    """

    table: pa.Table
    first_row: int
    parents: Ints | None


def rows_of(
    source: TableSource, file: SourceFile, columns: list[str], where: str, batch_rows: int
) -> Iterator[Rows]:
    """The rows of a file that are the source's, with ``columns``, batch by batch.

    Args:
        source: says which rows are its own, and how lists are written.
        file: one of its files.
        columns: the file's columns that are wanted.
        where: the source's place in the definition, for messages.
        batch_rows: rows that are read at a time.

    Raises:
        DataError: a text that is no list of the kind that the source says; names file and row.
    """
    picked = {name: found for name in columns if (found := element_of(source, name))}
    held = [picked[name][0] if name in picked else name for name in columns]
    wanted = list(dict.fromkeys([*held, *source.where]))
    kinds: dict[str, type] = {}
    first = 0
    most = _MOST.get()
    for read in read_batches(file, wanted, where, batch_rows):
        if most is not None and first >= most:
            return
        table, start, parents = read, first, None
        first += read.num_rows
        if source.where:
            kept = _kept(source.where, table, file, where, start)
            if not kept.all():
                parents = np.flatnonzero(kept)
                table = table.take(pa.array(parents))
        table = table.select(list(dict.fromkeys(held)))
        for name, written in source.lists.items():
            if name in held and written != OWN:
                place = Place(
                    key=f"{where}.lists.{name}",
                    column=name,
                    url=file.url,
                    first_row=start,
                    parents=parents,
                )
                lists = _lists(table[name], written, place, kinds)
                table = table.set_column(table.column_names.index(name), name, lists)
        for name, (lists, number) in picked.items():
            found = pl.Series(pl.from_arrow(table[lists])).list.get(number - 1, null_on_oob=True)
            table = table.append_column(name, found.to_arrow())
        yield Rows(table=table.select(columns), first_row=start, parents=parents)


def element_of(source: TableSource, name: str) -> tuple[str, int] | None:
    """The list and the place, from 1, that a right-hand name such as ``genres[2]`` means."""
    found = _ELEMENT.fullmatch(name)
    if found is None or found[1] not in source.lists:
        return None
    return found[1], int(found[2])


def shaped_schema(source: TableSource, schema: pa.Schema) -> pa.Schema:
    """The schema of what :func:`rows_of` yields: lists in text are lists of text."""
    for name, written in source.lists.items():
        if written == OWN:
            continue
        place = schema.get_field_index(name)
        listed = pa.field(name, pa.large_list(pa.large_string()), metadata=PLAIN_TEXT)
        schema = schema.set(place, listed)
    for theirs in dict.fromkeys(source.columns.values()):
        if (found := element_of(source, theirs)) is not None:
            lists = schema.field(found[0])
            inner = element(lists.type)
            kind = pa.null() if inner is None else inner
            schema = schema.append(pa.field(theirs, kind, metadata=lists.metadata))
    if PLACE_IN_LIST in source.columns.values():
        schema = schema.append(pa.field(PLACE_IN_LIST, pa.int64()))
    return schema


def _kept(
    rules: Mapping[str, Any], table: pa.Table, file: SourceFile, where: str, first_row: int
) -> np.ndarray:
    kept = np.ones(table.num_rows, np.bool_)
    for name, rule in rules.items():
        place = Place(key=f"{where}.where.{name}", column=name, url=file.url, first_row=first_row)
        values = to_text(plain(table[name], place), place)
        listed = rule.none_of if isinstance(rule, NoneOf) else rule
        found = one_of(values, listed if isinstance(listed, tuple) else (listed,))
        kept &= ~found if isinstance(rule, NoneOf) else found
    return kept


def one_of(values: pl.Series, wanted: tuple[Scalar, ...]) -> np.ndarray:
    """True where a text is one of some values; ``true`` and ``false`` in all their spellings."""
    texts = {str(value) for value in wanted if not isinstance(value, bool)}
    found = values.is_in(sorted(texts)).fill_null(False)
    for value in wanted:
        if isinstance(value, bool):
            spelled = list(TRUE if value else FALSE)
            found |= values.str.to_lowercase().is_in(spelled).fill_null(False)
    return found.to_numpy()


def _lists(column: pa.ChunkedArray, written: str, place: Place, kinds: dict[str, type]) -> pa.Array:
    """Texts as lists of texts; a missing or empty one is an empty list."""
    values = plain(column, place)
    if values.dtype == pl.Null:
        values = values.cast(pl.String)
    if values.dtype != pl.String:
        values = to_text(values, place)
    if written == JSON:
        return _json_lists(values, place, kinds)
    text = values.fill_null("").alias("text")
    parts = pl.col("text").str.split(_NAMED.get(written, written))
    parts = pl.when(pl.col("text") == "").then(pl.lit([], pl.List(pl.String))).otherwise(parts)
    split = text.to_frame().select(parts.list.eval(pl.when(pl.element() != "").then(pl.element())))
    return split.to_series().to_arrow().cast(pa.large_list(pa.large_string()))


class _Number(str):
    """The digits of a JSON number."""


def _json_lists(values: pl.Series, place: Place, kinds: dict[str, type]) -> pa.Array:
    found: list[list[str | None]] = []
    for row, text in enumerate(values.to_list()):
        if text is None or text == "":
            found.append([])
            continue
        try:
            value = json.loads(
                text, parse_int=_Number, parse_float=_Number, parse_constant=_refuse_constant
            )
        except ValueError:
            value = None
        if not isinstance(value, list) or any(isinstance(v, list | dict) for v in value):
            raise place.at(row).error(
                f"holds {text[:80]!r}, which is no JSON list of numbers or texts",
                "Say how the lists are written: `json`, or the character between the elements.",
            )
        elements = [str(one).lower() if isinstance(one, bool) else one for one in value]
        for one in elements:
            if one is None:
                continue
            kind = kinds.setdefault(place.column, type(one))
            if kind is not type(one):
                raise place.at(row).error(
                    f"holds {text[:80]!r}: numbers in some lists and texts in others",
                    "Write all elements in one way.",
                )
        found.append([None if e is None else str(e) for e in elements])
    return pa.array(found, pa.large_list(pa.large_string()))


def _refuse_constant(name: str) -> None:
    raise ValueError(name)
