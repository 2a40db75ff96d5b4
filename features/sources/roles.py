"""What each column of a source is named for, and whether its Arrow type can be read as that."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from hemix.errors import DataError
from hemix.features.declared_sources import InteractionSource, TableSource
from hemix.features.definition import DatasetDefinition
from hemix.features.sources.arrow_types import Role, element, refusal
from hemix.features.sources.locations import SourceFile
from hemix.features.sources.place import Place
from hemix.features.sources.shaping import OWN

_IDS = ("user_id", "item_id", "request_id", "action", "position")
_TIMES = ("event_time", "known_at", "valid_from")


def check_types(
    definition: DatasetDefinition,
    source: TableSource,
    where: str,
    file: SourceFile,
    schema: pa.Schema,
) -> None:
    """Refuse a file with a column that cannot be what the definition names it for.

    Args:
        definition: the data set definition.
        source: the table's source in it.
        where: its key, such as ``interactions.0``.
        file: the file.
        schema: the file's own.

    Raises:
        DataError: names the key, the column, the file, its type and the mend.
    """
    for error in type_faults(definition, source, where, file, schema):
        raise error


def list_faults(
    source: TableSource, where: str, file: SourceFile, schema: pa.Schema
) -> Iterator[DataError]:
    """Columns of a file that are not written as the source's ``lists`` says.

    Args:
        source: the file's source.
        where: its place in the definition.
        file: for messages.
        schema: the file's columns as they are in it.
    """
    for name, written in source.lists.items():
        kind = schema.field(name).type
        if (element(kind) is None) == (written == OWN):
            told = f"{where}.lists.{name}: {name!r} of {file.url} holds {kind}"
            if written == OWN:
                mend = f"Say how they are written: `lists: {{{name}: '|'}}`, or `json`."
                yield DataError(f"{told}, not lists.", hint=mend)
            else:
                mend = f"Say `lists: {{{name}: list}}`."
                yield DataError(f"{told}, which are lists already, not text.", hint=mend)


def type_faults(
    definition: DatasetDefinition,
    source: TableSource,
    where: str,
    file: SourceFile,
    schema: pa.Schema,
) -> Iterator[DataError]:
    """Every column of a file that cannot be what the definition names it for.

    Args:
        definition: says what each column is named for.
        source: the file's source.
        where: its place in the definition.
        file: for messages.
        schema: the file's columns, lists in text as lists.
    """
    for name in source.explode:
        kind = schema.field(name).type
        if element(kind) is None:
            yield DataError(
                f"{where}.explode: {name!r} of {file.url} holds {kind}, not lists.",
                hint="Take it out of `explode`, or say how its lists are written as text: "
                f"`lists: {{{name}: '|'}}`, or `json`.",
            )
    for key, name, role in _roles(definition, source, where):
        kind = schema.field(name).type
        place = Place(key=key, column=name, url=file.url)
        if role is None:
            if element(kind) is None:
                yield place.error(
                    f"holds {kind}, not lists",
                    "`contains_item` needs a list; of one written as text say how: "
                    f"`lists: {{{name}: '|'}}`, or `json`.",
                )
                continue
            found = refusal(_inner(kind), "id")
        else:
            found = refusal(_inner(kind) if name in source.explode else kind, role)
        if found:
            yield place.error(*found)


def _inner(kind: pa.DataType) -> pa.DataType:
    inner = element(kind)
    return kind if inner is None else inner


def _roles(
    definition: DatasetDefinition, source: TableSource, where: str
) -> Iterator[tuple[str, str, Role | None]]:
    """Key, their column and role (None: a list that may hold the item) of what is read."""
    numeric = {field.name for field in definition.numeric}
    declared = {
        *numeric,
        *definition.user_columns,
        *definition.item_columns,
        *definition.context_columns,
    }
    for ours, theirs in source.columns.items():
        key = f"{where}.columns.{ours}"
        if ours in _TIMES or (where.startswith("items") and ours == definition.item_created_at):
            yield key, theirs, "time"
        if ours in numeric:
            yield key, theirs, "number"
        elif ours in _IDS:
            yield key, theirs, "id"
        elif ours in declared:
            yield key, theirs, "category"
    if isinstance(source, InteractionSource):
        for task, label in source.labels.items():
            if task in definition.tasks:
                role: Role | None = "id" if label.by_value else "label"
                yield (
                    f"{where}.labels.{task}",
                    label.column,
                    None if label.contains_item else role,
                )
