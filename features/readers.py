"""Read a source's files in batches, only the columns that are needed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.csv as pacsv
import pyarrow.parquet as pq

from features.locations import SourceFile
from hemix.errors import DataError, HemixError, StorageError

BATCH_ROWS = 131_072
_NULLS = ["", "NULL", "null", "NaN", "nan", "\\N"]


def schema_of(file: SourceFile, where: str) -> pa.Schema:
    """Names and types of a file's columns; every CSV column is text.

    Raises:
        StorageError: the file is truncated, damaged or unreadable.
    """
    schema = _own_schema(file, where)
    extra = [(n, pa.string()) for n in file.partitions if n not in schema.names]
    return pa.schema([*schema, *(pa.field(*pair) for pair in extra)])


def _own_schema(file: SourceFile, where: str) -> pa.Schema:
    """What the file itself holds; it goes before what its folders' names say."""
    with _open(file, where) as handle:
        if file.format == "parquet":
            return pq.read_schema(handle)
        reader = pacsv.open_csv(handle, parse_options=_parse(file))
        return pa.schema([(name, pa.string()) for name in reader.schema.names])


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
        for batch in _batches(file, handle, inside, batch_rows):
            table = pa.table(batch)
            for name in columns:
                if name not in table.column_names:
                    value = pa.array([file.partitions[name]] * table.num_rows, pa.string())
                    table = table.append_column(name, value)
            yield table.select(columns)


def check_columns(file: SourceFile, schema: pa.Schema, needed: dict[str, str], where: str) -> None:
    """``needed`` maps the definition's key to the file's column name.

    Raises:
        DataError: names the key, the missing column, the file and what it does hold.
    """
    for key, name in needed.items():
        count = schema.names.count(name)
        if count != 1:
            problem = "has no column" if count == 0 else f"has {count} columns called"
            raise DataError(
                f"{where}.{key}: {file.url} {problem} {name!r}; it has: "
                f"{', '.join(sorted(set(schema.names)))}.",
                hint=f"Correct {where}.{key} in the definition.",
            )


def _batches(
    file: SourceFile, handle: Any, columns: list[str], batch_rows: int
) -> Iterator[pa.RecordBatch]:
    if file.format == "parquet":
        yield from pq.ParquetFile(handle).iter_batches(batch_size=batch_rows, columns=columns)
        return
    reader = pacsv.open_csv(
        handle,
        parse_options=_parse(file),
        convert_options=pacsv.ConvertOptions(
            include_columns=columns,
            column_types={name: pa.string() for name in columns},
            null_values=_NULLS,
            strings_can_be_null=True,
        ),
    )
    yield from reader


def _parse(file: SourceFile) -> pacsv.ParseOptions:
    tabs = ".tsv" in file.name.lower()
    return pacsv.ParseOptions(delimiter="\t" if tabs else ",", newlines_in_values=True)


@contextlib.contextmanager
def _open(file: SourceFile, where: str) -> Iterator[Any]:
    """The file's bytes; whatever fails while it is open names the file."""
    try:
        with contextlib.ExitStack() as stack:
            packed = "infer" if file.format == "csv" else None
            yield stack.enter_context(file.filesystem.open(file.path, "rb", compression=packed))
    except HemixError:
        raise
    except pa.ArrowInvalid as error:
        raise StorageError(
            f"{where}: {file.url} is damaged, truncated or not {file.format}: {_first(error)}.",
            hint="Copy or export the file again.",
        ) from error
    except (OSError, EOFError) as error:
        raise StorageError(
            f"{where}: cannot read {file.url}: {_first(error)}.",
            hint="Check that it is whole and that you may read it.",
        ) from error


def _first(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
