"""Great Expectations suites generated from the definition and the schemas."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pandas as pd
import pyarrow as pa

from hemix.components.expectations import Suite
from hemix.components.validate_data.frames import in_window
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import (
    ColumnTypes,
    behaviors_schema,
    interactions_schema,
    items_schema,
    label_column,
    users_schema,
)

MINIMUM_ROWS = {"train": 100, "validation": 10, "test": 10}
KNOWN_SHARE = 0.5
SOME_SHARE = 0.01
PRESENT_SHARE = 0.001
NOT_NEGATIVE_SHARE = 0.95
LARGEST_NUMBER = 1e19
EARLIEST = datetime(1990, 1, 1)

_KEYS = {
    "interactions": ("request_id", "user_id", "item_id", "event_time"),
    "behaviors": ("user_id", "item_id", "event_time", "action", "position"),
    "users": ("user_id", "valid_from"),
    "items": ("item_id", "valid_from"),
}


def expected_schemas(definition: DatasetDefinition, types: ColumnTypes) -> dict[str, pa.Schema]:
    """The schema that each events table must have."""
    return {
        "interactions": interactions_schema(definition, types),
        "behaviors": behaviors_schema(types),
        "users": users_schema(definition, types),
        "items": items_schema(definition, types),
    }


def schema_suite(gxe: Any, expected: dict[str, pa.Schema], found: dict[str, pa.Schema]) -> Suite:
    """Columns and types of all tables, one row per column."""
    rows = []
    for table, schema in expected.items():
        for name in dict.fromkeys([*schema.names, *found[table].names]):
            kinds = [
                str(s.field(name).type) if name in s.names else "absent"
                for s in (schema, found[table])
            ]
            rows.append([f"{table}.{name}: {kind}" for kind in kinds])
    frame = pd.DataFrame(rows, columns=["expected", "found"])
    pairs = gxe.ExpectColumnPairValuesToBeEqual(column_A="expected", column_B="found")
    return Suite(table="schema", frame=frame, expectations=(pairs,))


def table_suites(
    gxe: Any, definition: DatasetDefinition, frames: dict[str, pd.DataFrame]
) -> list[Suite]:
    """One suite a table, and one a split of the interactions."""
    numeric = {column.name: column for column in definition.numeric}
    attributes = {
        "interactions": definition.context_columns,
        "behaviors": (),
        "users": definition.user_columns,
        "items": definition.item_columns,
    }
    suites = []
    for table, frame in frames.items():
        if table in ("users", "items") and not getattr(definition, table):
            continue
        checks: list[Any] = [gxe.ExpectTableRowCountToBeBetween(min_value=1)]
        if len(frame):
            keys = _KEYS[table]
            checks += [gxe.ExpectColumnValuesToNotBeNull(column=name) for name in keys]
            checks.append(gxe.ExpectCompoundColumnsToBeUnique(column_list=list(keys)))
            if "event_time" in keys:
                checks += _times(gxe)
            for name in attributes[table]:
                checks.append(gxe.ExpectColumnValuesToNotBeNull(column=name, mostly=PRESENT_SHARE))
                if name in numeric:
                    checks.append(_range(gxe, name, numeric[name].scale))
            checks += _facts(gxe, frame)
        suites.append(Suite(table=table, frame=frame, expectations=tuple(checks)))
    return [*suites, *_split_suites(gxe, definition, frames["interactions"])]


def _split_suites(
    gxe: Any, definition: DatasetDefinition, interactions: pd.DataFrame
) -> list[Suite]:
    suites = []
    for split, window in definition.split.windows().items():
        frame = interactions[in_window(interactions, window)]
        checks = [gxe.ExpectTableRowCountToBeBetween(min_value=MINIMUM_ROWS[split])]
        if len(frame):
            checks += [_mean(gxe, label_column(t), 0, 1, strict=True) for t in definition.tasks]
            checks += _known(gxe, frame)
        suites.append(
            Suite(table="interactions", frame=frame, expectations=tuple(checks), part=split)
        )
    return suites


def _times(gxe: Any) -> list[Any]:
    """Not before 1990 and not in the future (a day is allowed for clocks that differ)."""
    latest = (datetime.now(UTC) + timedelta(days=1)).replace(tzinfo=None, microsecond=0)
    return [
        gxe.ExpectColumnValuesToBeBetween(column="event_time", min_value=EARLIEST, max_value=latest)
    ]


def _range(gxe: Any, name: str, scale: str) -> Any:
    """Logarithms want few negatives; other numbers are no larger than a 64-bit integer."""
    if scale == "log":
        return gxe.ExpectColumnValuesToBeBetween(
            column=name, min_value=0, mostly=NOT_NEGATIVE_SHARE
        )
    return gxe.ExpectColumnValuesToBeBetween(
        column=name, min_value=-LARGEST_NUMBER, max_value=LARGEST_NUMBER
    )


def _facts(gxe: Any, frame: pd.DataFrame) -> list[Any]:
    names = ("in_a_split", "user_has_behaviors", "user_had_behaviors")
    some = [n for n in names if n in frame.columns]
    return [*(_mean(gxe, name, SOME_SHARE, 1) for name in some), *_known(gxe, frame)]


def _known(gxe: Any, frame: pd.DataFrame) -> list[Any]:
    known = [n for n in ("user_in_users", "item_in_items") if n in frame.columns]
    return [_mean(gxe, name, KNOWN_SHARE, 1) for name in known]


def _mean(gxe: Any, column: str, low: float, high: float, *, strict: bool = False) -> Any:
    return gxe.ExpectColumnMeanToBeBetween(
        column=column, min_value=low, max_value=high, strict_min=strict, strict_max=strict
    )
