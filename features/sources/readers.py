"""Read a source's files in batches, only the columns that are needed."""

from __future__ import annotations

import contextlib
import gzip
import lzma
import re
import zlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hemix.errors import DataError, DefinitionError, HemixError, StorageError
from hemix.features.sources.csv.hints import header_hint
from hemix.features.sources.csv.lines import CsvText
from hemix.features.sources.csv.reader import csv_names, csv_tables
from hemix.features.sources.locations import SourceFile
from hemix.features.sources.stores import asking
from hemix.texts.meant import did_you_mean, meant

BATCH_ROWS = 131_072
FOLDER = {b"hemix": b"folder"}
"""Metadata of a column that stands in the names of folders only."""
PLAIN_TEXT = {b"hemix": b"text"}
"""Metadata of lists that a source says are written as text."""
_ELEMENT = re.compile(r"(.+)\[[0-9]+\]")
_LISTED_NAMES, _LISTED_LETTERS = 60, 100


def schema_of(file: SourceFile, where: str) -> pa.Schema:
    """Names and types of a file's columns; every CSV column is text.

    A column that its folders' names give and the file itself does not is marked :data:`FOLDER`.

    Raises:
        StorageError: the file is truncated, damaged or unreadable.
    """
    schema = _own_schema(file, where)
    extra = [name for name in file.partitions if name not in schema.names]
    return pa.schema([*schema, *(pa.field(n, pa.string(), metadata=FOLDER) for n in extra)])


def is_plain_text(file: SourceFile, column: pa.Field) -> bool:
    """True when values stand as text whatever they mean: in CSV, or in a folder's name."""
    return file.format == "csv" or column.metadata in (FOLDER, PLAIN_TEXT)


def _own_schema(file: SourceFile, where: str) -> pa.Schema:
    """What the file itself holds; it goes before what its folders' names say."""
    with _open(file, where) as handle:
        if file.format == "parquet":
            return pq.read_schema(handle)
        return pa.schema([(name, pa.string()) for name in csv_names(_csv(file, handle, where))])


def read_batches(
    file: SourceFile, columns: list[str], where: str, batch_rows: int = BATCH_ROWS
) -> Iterator[pa.Table]:
    """Tables of at most ``batch_rows`` rows that hold ``columns`` in that order.

    Raises:
        StorageError: the file is truncated, damaged or unreadable.
    """
    own = set(_own_schema(file, where).names) if file.partitions else set(columns)
    inside = [name for name in columns if name in own]
    with _open(file, where) as handle:
        for table in _tables(file, handle, inside, where, batch_rows):
            rows = table.num_rows
            values = {name: table.column(name) for name in inside}
            for name in columns:
                if name not in values:
                    values[name] = pa.chunked_array(
                        [pa.array([file.partitions[name]] * rows, pa.string())]
                    )
            yield pa.table({name: values[name] for name in columns})


def check_columns(file: SourceFile, schema: pa.Schema, needed: dict[str, str], where: str) -> None:
    """``needed`` maps the definition's key to the file's column name.

    Raises:
        DefinitionError: a column is missing; names the key, the file and what it does hold.
        DataError: several columns of the file have the name.
    """
    for key, name in needed.items():
        count = schema.names.count(name)
        if count != 1:
            problem = "has no column" if count == 0 else f"has {count} columns called"
            hint = f"Correct {where}.{key} in the definition."
            found = _ELEMENT.fullmatch(name)
            element = count == 0 and found is not None and found[1] in schema.names
            near = "."
            if count == 0 and not element:
                near = did_you_mean([repr(n) for n in meant(name, schema.names)])
            listed = ("; it has: " if near == "." else f"{near} It has: ") + _listed(schema.names)
            if found and element:
                hint = (
                    f"An element of a list is named {found[1]}[1], the first, where {where}.lists says"
                    f" how they are written: `lists: {{{found[1]}: '|'}}`, or json, or list."
                )
            elif count == 0 and file.format == "csv":
                own = [n for n in schema.names if n not in file.partitions]
                hint = header_hint(own, [*needed.values()], file.dialect, where) or hint
            kind = DefinitionError if count == 0 else DataError
            raise kind(f"{where}.{key}: {file.url} {problem} {name!r}{listed}.", hint=hint)


def _listed(names: list[str]) -> str:
    """Names in order, between quotes where they would not be clear without; long lists cut."""
    shown = [
        n if n.isprintable() and n == n.strip() and n and "," not in n else repr(n)
        for n in sorted(set(names))[:_LISTED_NAMES]
    ]
    more = len(set(names)) - len(shown)
    cut = ", ".join(n if len(n) <= _LISTED_LETTERS else n[:_LISTED_LETTERS] + "..." for n in shown)
    return cut + (f" and {more} more" if more else "")


def _tables(
    file: SourceFile, handle: Any, columns: list[str], where: str, batch_rows: int
) -> Iterator[pa.Table]:
    if file.format == "csv":
        yield from csv_tables(_csv(file, handle, where), columns, batch_rows)
        return
    # Spark's 96-bit times reach beyond what nanoseconds can hold, and would wrap around silently.
    parquet = pq.ParquetFile(handle, coerce_int96_timestamp_unit="us")
    batches = parquet.iter_batches(batch_size=batch_rows, columns=columns)
    yield from (pa.table(batch) for batch in batches)


def _csv(file: SourceFile, handle: Any, where: str) -> CsvText:
    return CsvText(handle=handle, dialect=file.dialect, where=where, url=file.url)


@contextlib.contextmanager
def _open(file: SourceFile, where: str) -> Iterator[Any]:
    """The file's bytes; whatever fails while it is open names the file."""
    try:
        with asking(where, file.url), contextlib.ExitStack() as stack:
            yield stack.enter_context(file.filesystem.open(file.path, "rb"))
    except HemixError:
        raise
    except pa.ArrowInvalid as error:
        raise _not_parquet(file, where, error) from error
    except pa.ArrowNotImplementedError as error:
        raise DataError(
            f"{where}: {file.url} holds what cannot be read here: {_first(error)}.",
            hint="Export it again with plain types, without encryption.",
        ) from error
    except (EOFError, gzip.BadGzipFile, zlib.error, lzma.LZMAError) as error:
        raise StorageError(
            f"{where}: {file.url} is damaged or truncated: {_first(error)}.",
            hint="Copy or export the file again.",
        ) from error
    except OSError as error:
        raise StorageError(
            f"{where}: cannot read {file.url}: {_first(error)}.",
            hint="Check that it is whole and that you may read it.",
        ) from error


def _not_parquet(file: SourceFile, where: str, error: pa.ArrowInvalid) -> StorageError:
    with file.filesystem.open(file.path, "rb") as handle:
        head = handle.read(4)
    if head == b"PAR1":
        return StorageError(
            f"{where}: {file.url} is damaged, truncated or not {file.format}: {_first(error)}.",
            hint="Copy or export the file again.",
        )
    return StorageError(
        f"{where}: {file.url} is not {file.format}: it begins with {head!r}.",
        hint=f"Set {where}.format: csv for text; unpack it if it is packed.",
    )


def _first(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
