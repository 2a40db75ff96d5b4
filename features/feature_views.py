"""Which feature views a definition makes, which columns each holds, and what a missing one is."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from hemix.features.schema import (
    MISSING_INT,
    MISSING_STRING,
    ColumnTypes,
    item_state_schema,
    items_schema,
    pair_list_names,
    user_state_schema,
    users_schema,
)
from hemix.files import digest_of

if TYPE_CHECKING:
    from hemix.features.definition import DatasetDefinition

Entity = Literal["user", "item"]
TIMESTAMP = "as_of"
CREATED_AT = "created_at"
HISTORY = "history_"
LISTED: Mapping[Entity, str] = {"user": "_user_listed", "item": "_item_listed"}
"""Placeholder column of a profile without attributes, so that a known key has a row.

Each entity has its own, since one service may hold both; a field's name never starts with ``_``.
"""


def internal(definition: DatasetDefinition) -> frozenset[str]:
    """Stored columns that serve to make others and are none of the examples' own."""
    lists = ("item_id", *definition.sequences.columns, "action", "event_time_ms", "time_exact")
    history = {f"{HISTORY}{name}" for name in lists}
    pairs = pair_list_names(definition)
    history |= {prefix + name for prefix, names in pairs.items() for name in names}
    history |= {
        counted.last_ms
        for counter in definition.counters
        for counted in counter.counted(definition.tasks)
    }
    created = {CREATED_AT} if definition.has_item_age else set()
    return frozenset({*LISTED.values(), *history, *created})


@dataclass(frozen=True, kw_only=True)
class ViewSpec:
    """One feature view: ``columns`` maps features (no key, no timestamp) to Arrow types.

    ``zero`` says that a missing integer is 0 (a counter) and not :data:`MISSING_INT`.
    """

    base: str
    entity: Entity
    name: str
    columns: Mapping[str, pa.DataType]
    zero: bool

    @property
    def key(self) -> str:
        return f"{self.entity}_id"

    def default(self, column: str) -> Any:
        """The value of a feature that the store does not hold."""
        kind = self.columns[column]
        if pa.types.is_list(kind):
            return ()
        if pa.types.is_floating(kind):
            return float("nan")
        if pa.types.is_string(kind):
            return MISSING_STRING
        return 0 if self.zero or column == LISTED[self.entity] else MISSING_INT


def service_name(version: str) -> str:
    """The feature service of a model version: ``ranker_`` and the version, letters and digits only."""
    return "ranker_" + re.sub(r"[^A-Za-z0-9]+", "_", version).strip("_")


def views_digest(definition: DatasetDefinition, types: ColumnTypes) -> str:
    """Eight hex digits of what the values mean: the definition without times and place, the types.

    Versions trained on other windows of the same definition share their views; any other change
    makes new views beside the old ones.
    """
    meaning = json.loads(definition.to_json())
    for name in ("split", "root", "name", "description"):
        del meaning[name]
    return digest_of([meaning, types.to_json()], length=8)


def view_specs(definition: DatasetDefinition, types: ColumnTypes) -> tuple[ViewSpec, ...]:
    """The views of a definition: profiles and sequences always, counters where there are any."""
    users, items = users_schema(definition, types), items_schema(definition, types)
    user_state = user_state_schema(definition, types)
    item_state = item_state_schema(definition, types)
    parts: list[tuple[str, Entity, dict[str, pa.DataType], bool]] = [
        ("user_profile", "user", _profile(users, "user"), False),
        ("user_sequences", "user", _kinds(user_state, sequences=True), False),
        ("user_counters", "user", _kinds(user_state, sequences=False), True),
        ("item_profile", "item", _profile(items, "item"), False),
        ("item_counters", "item", _kinds(item_state, sequences=False), True),
    ]
    digest = views_digest(definition, types)
    return tuple(
        ViewSpec(base=base, entity=entity, name=f"{base}_{digest}", columns=columns, zero=zero)
        for base, entity, columns, zero in parts
        if columns
    )


def _profile(schema: pa.Schema, entity: Entity) -> dict[str, pa.DataType]:
    """Attributes of a dimension; times become int64 milliseconds."""
    columns = {
        field.name: pa.int64() if pa.types.is_timestamp(field.type) else field.type
        for field in list(schema)[1:]
        if field.name != "valid_from"
    }
    return columns or {LISTED[entity]: pa.int64()}


def _kinds(schema: pa.Schema, *, sequences: bool) -> dict[str, pa.DataType]:
    return {
        field.name: field.type
        for field in list(schema)[2:]
        if pa.types.is_list(field.type) == sequences
    }
