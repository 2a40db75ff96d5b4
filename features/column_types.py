"""Find the types of a log's own columns: ids and categories are int64 or text, numbers float64.

Files of one column may differ (int in one, text in another): then all of it is text.
"""

from __future__ import annotations

import polars as pl
import pyarrow as pa

from features.conversions import Kind, kind_of
from features.definition import DatasetDefinition
from features.locations import sources
from features.readers import read_batches, schema_of
from features.schema import ColumnTypes
from features.sources import Reader


def infer_types(definition: DatasetDefinition) -> ColumnTypes:
    """Types of ids and declared attributes; values are read only where a schema cannot tell.

    Raises:
        DataError, StorageError: a missing file or column, a damaged file, a value that cannot be
            an id or a category.
    """
    numeric = {column.name for column in definition.numeric}
    attributes = {
        "users": definition.user_columns,
        "items": definition.item_columns,
        "interactions": definition.context_columns,
        "behaviors": (),
    }
    kinds: dict[tuple[str, str], set[Kind]] = {}
    for where, source in sources(definition):
        table = where.split("[")[0]
        reader = Reader.open(definition, source, where)
        names = [
            name
            for name in ("user_id", "item_id", *attributes[table])
            if name in (*source.columns, *source.constants) and name not in numeric
        ]
        found = _kinds(reader, names)
        for name, kind in found.items():
            side = "ids" if name in ("user_id", "item_id") else table
            kinds.setdefault((side, name), set()).update(kind)

    def arrow(side: str, name: str) -> pa.DataType:
        if side != "ids" and name in numeric:
            return pa.float64()
        seen = kinds.get((side, name), set())
        return pa.int64() if seen == {"int64"} else pa.string()

    return ColumnTypes(
        user_id=arrow("ids", "user_id"),
        item_id=arrow("ids", "item_id"),
        users={name: arrow("users", name) for name in definition.user_columns},
        items={name: arrow("items", name) for name in definition.item_columns},
        context={name: arrow("interactions", name) for name in definition.context_columns},
    )


def _kinds(reader: Reader, names: list[str]) -> dict[str, set[Kind]]:
    """The kinds that each of our columns takes over all files of one source."""
    source = reader.source
    kinds: dict[str, set[Kind]] = {name: set() for name in names}
    for name in names:
        if name in source.constants:
            value = source.constants[name]
            kinds[name].add("string" if isinstance(value, str) else "int64")
    columns = [name for name in names if name in source.columns]
    for file in reader.files:
        schema = schema_of(file, reader.where)
        unread = []
        for name in columns:
            theirs = source.columns[name]
            typed = file.format == "parquet" and theirs not in file.partitions
            kind = _from_schema(schema.field(theirs).type, theirs in source.explode)
            kind = kind if typed else None
            if kind is None:
                unread.append(name)
            else:
                kinds[name].add(kind)
        if not unread:
            continue
        columns_read = list(dict.fromkeys(source.columns[name] for name in unread))
        for table in read_batches(file, columns_read, reader.where):
            frame = pl.DataFrame(pl.from_arrow(table))
            for name in unread:
                values = frame[source.columns[name]]
                if isinstance(values.dtype, pl.List) and source.columns[name] in source.explode:
                    values = values.explode()
                is_text = file.format == "csv" or source.columns[name] in file.partitions
                seen = kind_of(values, reader.place(name, file), is_csv=is_text)
                kinds[name].update({seen} if seen else set())
    return kinds


def _from_schema(kind: pa.DataType, exploded: bool) -> Kind | None:
    """What a Parquet type alone decides; text is text there, unlike in CSV."""
    if exploded and (pa.types.is_list(kind) or pa.types.is_large_list(kind)):
        kind = kind.value_type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return "int64"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "string"
    return None
