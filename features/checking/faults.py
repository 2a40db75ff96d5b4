"""Every fault of a log's files against its definition, each once, with its mend.

``ingest`` stops at the first value that does not fit; this goes on: source by source, column by
column, and tells the first fault of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hemix.errors import HemixError
from hemix.features.declared_sources import InteractionSource, TableSource
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes
from hemix.features.sources.column_types import infer_types
from hemix.features.sources.conversions import to_category, to_id, to_number
from hemix.features.sources.locations import find_files, sources
from hemix.features.sources.readers import check_columns, schema_of
from hemix.features.sources.roles import list_faults, type_faults
from hemix.features.sources.shaping import shaped_schema
from hemix.features.sources.tables import Batch, Reader, label_values, needed_columns, times_of

_KEYS = ("user_id", "item_id", "request_id", "action")


def faults_of(definition: DatasetDefinition) -> list[HemixError]:
    """All that :func:`hemix.features.sources.shaping.at_most` lets it see; none when it all fits."""
    told = {(error.message, error.hint): error for error in reversed(_all_faults(definition))}
    return list(reversed(told.values()))


def _all_faults(definition: DatasetDefinition) -> list[HemixError]:
    """The same, some of it twice: what the types were looked for in is read again."""
    found: list[HemixError] = []
    for where, source in sources(definition):
        found += _schema_faults(definition, source, where)
    if found:
        return found
    try:
        types = infer_types(definition)
    except HemixError as error:
        return [error, *_value_faults(definition, None)]
    return list(_value_faults(definition, types))


def _schema_faults(
    definition: DatasetDefinition, source: TableSource, where: str
) -> Iterator[HemixError]:
    """Files that are not there or not readable, columns that are missing or of the wrong type."""
    try:
        files = find_files(definition, source, where)
    except HemixError as error:
        yield error
        return
    told: set[str] = set()
    for file in files:
        try:
            schema = schema_of(file, where)
        except HemixError as error:
            yield error
            continue
        whole = True
        for key, name in needed_columns(source).items():
            try:
                check_columns(file, schema, {key: name}, where)
            except HemixError as error:
                whole = False
                if key not in told:
                    told.add(key)
                    yield error
        if whole and (listed := list(list_faults(source, where, file, schema))):
            yield from _once(told, iter(listed))
        elif whole:
            shaped = shaped_schema(source, schema)
            yield from _once(told, type_faults(definition, source, where, file, shaped))


def _once(told: set[str], faults: Iterator[HemixError]) -> Iterator[HemixError]:
    for error in faults:
        key = str(error).split(":")[0]
        if key not in told:
            told.add(key)
            yield error


def _value_faults(definition: DatasetDefinition, types: ColumnTypes | None) -> Iterator[HemixError]:
    """The first value of each column that does not fit; ids and categories once types are known."""
    for where, source in sources(definition):
        told: set[str] = set()
        try:
            reader = Reader.open(definition, source, where)
            extra: tuple[str, ...] = ()
            if isinstance(source, InteractionSource):
                extra = tuple(source.labels[task].column for task in definition.tasks)
            for batch in reader.batches(extra):
                for name, convert in _columns(definition, types, reader, batch):
                    if name in told:
                        continue
                    try:
                        convert()
                    except HemixError as error:
                        told.add(name)
                        yield error
        except HemixError as error:  # the batch itself: damaged, or lists that are none
            if "batch" not in told:
                yield error


def _columns(
    definition: DatasetDefinition, types: ColumnTypes | None, reader: Reader, batch: Batch
) -> Iterator[tuple[str, Callable[[], object]]]:
    """Every column that is read of a batch, and how."""
    source, table = reader.source, reader.where.split("[")[0]
    numeric = {field.name for field in definition.numeric}
    times = {"event_time"}
    if table in ("users", "items"):
        times = {"valid_from"}
        if table == "items" and definition.item_created_at is not None:
            times.add(definition.item_created_at)
    for name in (*source.columns, *source.constants):
        place = reader.place(name, batch)
        if name in times:
            attribute = name != "event_time"
            yield (
                name,
                lambda n=name, p=place, a=attribute: times_of(  # type: ignore[misc]
                    reader.column(batch, n), source, p, attribute=a
                ),
            )
        if name in numeric:
            yield f"number {name}", lambda n=name, p=place: to_number(reader.column(batch, n), p)  # type: ignore[misc]
        kind = None if types is None else _kind(types, table, name)
        if kind is not None:
            read = to_id if name in _KEYS else to_category
            yield name, lambda n=name, p=place, r=read, k=kind: r(reader.column(batch, n), k, p)  # type: ignore[misc]
    if isinstance(source, InteractionSource) and types is not None:
        for task in definition.tasks:
            label = source.labels[task]
            yield (
                f"label {task}",
                lambda t=task, one=label: label_values(reader, batch, t, one, types),  # type: ignore[misc]
            )


def _kind(types: ColumnTypes, table: str, name: str) -> str | None:
    if name in ("user_id", "item_id"):
        found = types.user_id if name == "user_id" else types.item_id
    elif name in ("request_id", "action"):
        return "string"
    else:
        side = {"users": types.users, "items": types.items}.get(table, types.context)
        if name not in side:
            return None
        found = side[name]
    text = str(found)
    return None if text == "double" else text
