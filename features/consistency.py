"""What must hold between the parts of a definition; each check names the key and the mend."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from features.definition import DatasetDefinition, TableSource

_IDENTIFIER = re.compile(r"^[a-z][a-z0-9_]*$")
_WINDOW = re.compile(r"^\d+\s*[smhd]$|^ever$")


def check(definition: DatasetDefinition) -> None:
    """Raise ValueError for the first thing in ``definition`` that contradicts another."""
    _names(definition)
    _sources(definition)
    _fields(definition)
    _one_meaning_each(definition)
    _sequences_and_counters(definition)


def _names(definition: DatasetDefinition) -> None:
    for where, names in {
        "tasks": definition.tasks,
        "categorical": [c.name for c in definition.categorical],
        "numeric": [n.name for n in definition.numeric],
    }.items():
        for name in names:
            if not _IDENTIFIER.match(name):
                raise ValueError(f"{where}: {name!r} must be lower_snake_case")
        if len(set(names)) != len(names):
            raise ValueError(f"{where}: a name stands twice")


def _sources(definition: DatasetDefinition) -> None:
    for index, source in enumerate(definition.interactions):
        _need(source, f"interactions[{index}]", ("user_id", "item_id", "event_time"))
        if missing := set(definition.tasks) - set(source.labels):
            raise ValueError(f"interactions[{index}].labels lacks the tasks {sorted(missing)}")
    for index, behavior in enumerate(definition.behaviors):
        _need(behavior, f"behaviors[{index}]", ("user_id", "item_id", "event_time", "action"))
    for index, table in enumerate(definition.users):
        _need(table, f"users[{index}]", ("user_id",))
    for index, table in enumerate(definition.items):
        _need(table, f"items[{index}]", ("item_id",))
    if definition.derived_behaviors:
        if unknown := set(definition.derived_behaviors.actions) - set(definition.tasks):
            raise ValueError(f"derived_behaviors.actions names unknown tasks {sorted(unknown)}")
    elif not definition.behaviors:
        raise ValueError("give behaviors, derived_behaviors, or both: sequences need events")


def _need(source: TableSource, where: str, names: tuple[str, ...]) -> None:
    for name in names:
        if name not in source.columns and name not in source.constants:
            raise ValueError(f"{where}.columns must name {name!r}")


def _columns(sources: tuple[TableSource, ...]) -> set[str]:
    return {name for source in sources for name in (*source.columns, *source.constants)}


def _fields(definition: DatasetDefinition) -> None:
    items = _columns(definition.items)
    known = {
        "user_id",
        "item_id",
        *_columns(definition.users),
        *items,
        *_columns(definition.interactions),
    }
    created = definition.item_created_at
    sliced = {
        *(field.name for field in definition.categorical),
        *(field.name for field in definition.numeric),
        *definition.item_columns,
        *definition.time_fields,
    }
    for name in definition.slices:
        if name not in sliced:
            raise ValueError(f"slices: {name!r} is not a field; known: {sorted(sliced)}")
    for where, names in {
        "categorical": [c.name for c in definition.categorical],
        "numeric": [n.name for n in definition.numeric],
        "sequences.columns": definition.sequences.columns,
        "counters": [c.key for c in definition.counters],
        "item_created_at": [created] if created else [],
    }.items():
        for name in names:
            if name not in known:
                raise ValueError(
                    f"{where}: no source has a column {name!r}; known: {sorted(known)}"
                )
    if created and created not in items:
        raise ValueError(f"item_created_at: {created!r} must be a column of items")


def _one_meaning_each(definition: DatasetDefinition) -> None:
    """A field is categorical or numeric, and comes from one table."""
    categorical = {field.name for field in definition.categorical}
    if both := categorical & {field.name for field in definition.numeric}:
        raise ValueError(f"numeric: {sorted(both)} are listed under categorical too")
    tables = {
        "interactions": set(definition.context_columns),
        "users": set(definition.user_columns),
        "items": set(definition.item_columns),
    }
    for one, other in (("interactions", "users"), ("interactions", "items"), ("users", "items")):
        if both := tables[one] & tables[other]:
            raise ValueError(
                f"{other}: {sorted(both)} are columns of {one} too; give one of them another name"
            )


def _sequences_and_counters(definition: DatasetDefinition) -> None:
    items = _columns(definition.items)
    for name in definition.sequences.columns:
        if name not in items:
            raise ValueError(f"sequences.columns: {name!r} must be a column of items")
    categorical = {c.name for c in definition.categorical}
    for name in ("user_id", "item_id", *definition.sequences.columns):
        if name not in categorical:
            raise ValueError(f"categorical: {name!r} must be listed (it needs a vocabulary)")
    for counter in definition.counters:
        if counter.key not in ("user_id", "item_id", *items):
            raise ValueError(
                f"counters: key {counter.key!r} must be user_id, item_id or an item column"
            )
        if unknown := set(counter.events) - {"impression", *definition.tasks}:
            raise ValueError(f"counters: unknown events {sorted(unknown)}")
        for window in counter.windows:
            if not _WINDOW.match(window):
                raise ValueError(f"counters: window {window!r} is not like 1h, 1d or ever")
