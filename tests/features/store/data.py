"""A tiny log in the artifacts' schemas: three users, four items, every kind of awkward value."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hemix.features.definition import DatasetDefinition
from hemix.features.schema import (
    MISSING_INT,
    ColumnTypes,
    item_state_schema,
    items_schema,
    user_state_schema,
    users_schema,
)

AS_OF = datetime(2024, 3, 5, 12, tzinfo=UTC)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TYPES = ColumnTypes(
    user_id=pa.int64(),
    item_id=pa.string(),
    users={"segment": pa.string(), "age": pa.float64()},
    items={"author_id": pa.int64(), "price": pa.float64()},
    context={"tab": pa.int64(), "device": pa.string(), "battery": pa.float64()},
)


def definition(**overrides: Any) -> DatasetDefinition:
    """A definition with text items, a side column, counters of three keys and an item age."""
    value: dict[str, Any] = {
        "name": "tiny",
        "interactions": [
            {
                "paths": ["interactions.csv"],
                "columns": {
                    **{name: name for name in ("user_id", "item_id", "event_time")},
                    **{name: name for name in ("tab", "device", "battery")},
                },
                "labels": {"click": {"column": "click"}},
            }
        ],
        "derived_behaviors": {"actions": {"click": "click"}},
        "users": [{"paths": ["u.csv"], "columns": {n: n for n in ("user_id", "segment", "age")}}],
        "items": [
            {
                "paths": ["i.csv"],
                "columns": {n: n for n in ("item_id", "author_id", "price", "made")},
            }
        ],
        "item_created_at": "made",
        "tasks": ["click"],
        "categorical": [
            {"name": n} for n in ("user_id", "item_id", "author_id", "segment", "tab", "device")
        ],
        "numeric": [{"name": n} for n in ("age", "price", "battery")],
        "sequences": {"columns": ["author_id"], "global_length": 4, "realtime_length": 3},
        "counters": [
            {"key": "user_id"},
            {"key": "item_id", "since_last": True},
            {"key": "author_id"},
            {"key": ["user_id", "item_id"], "events": ["impression"], "actions": ["click"]},
            {"key": ["user_id", "price"], "events": ["click"], "since_last": True},
        ],
        "matches": [{"column": "item_id", "last": [2]}, {"column": "author_id"}],
        "split": {
            "train": {"start": "2024-03-01", "end": AS_OF},
            "test": {"start": AS_OF, "end": "2024-03-08"},
        },
    }
    return DatasetDefinition.parse({**value, **overrides})


def write_log(folder: Path, *, as_of: datetime = AS_OF, shift: int = 0) -> tuple[Path, Path]:
    """Write ``events`` and ``state`` under ``folder``; ``shift`` is added to every counter."""
    made, events, state = definition(), folder / "events", folder / "state"
    hour = timedelta(hours=1)
    users = [
        {"user_id": 1, "segment": "old", "age": 1.0, "valid_from": EPOCH},
        {"user_id": 1, "segment": "né", "age": 0.1 + 0.2, "valid_from": as_of},
        {"user_id": 1, "segment": "future", "age": 9.0, "valid_from": as_of + hour},
        {"user_id": -5, "segment": "", "age": float("nan"), "valid_from": EPOCH},
    ]
    items = [
        {"item_id": "a", "author_id": 7, "price": 1e300, "created_at": as_of - 30 * hour},
        {"item_id": "", "author_id": MISSING_INT, "price": float("nan"), "created_at": None},
        {"item_id": "b'\"", "author_id": 2**63 - 1, "price": -0.5, "created_at": as_of + hour},
    ]
    items = [{**item, "valid_from": EPOCH} for item in items]
    _write(events / "users", users, users_schema(made, TYPES))
    _write(events / "items", items, items_schema(made, TYPES))
    now = int(as_of.timestamp() * 1000)
    minutes = [-3000, -2000, -1500, -900, -30, -2, -1]
    history = {
        "history_item_id": ["a", "b'\"", "a", "zz", "a", "", "a"],
        "history_author_id": [7, 2**63 - 1, 7, MISSING_INT, 7, MISSING_INT, 7],
        "history_action": ["click", "like", "click", "click", "click", "like", ""],
        "history_event_time_ms": [now + 60_000 * m - 1 for m in minutes],
        "history_time_exact": [0, 1, 1, 1, 1, 1, 1],
    }
    history |= {
        "shown_event_time_ms": [now - 9_000_000, now - 1],
        "shown_item_id": ["a", "b'\""],
        "shown_price": [1e300, -0.5],
        "shown_label_click": [1, 1],
        "acted_event_time_ms": [now - 9_000_000, now - 8_000, now - 7_000],
        "acted_item_id": ["zz", "a", "a"],
        "acted_action": ["like", "click", "click"],
    }
    empty: dict[str, list[Any]] = {name: [] for name in history}
    user_schema, item_schema = user_state_schema(made, TYPES), item_state_schema(made, TYPES)
    _write_file(
        state / "users.parquet",
        [
            _counted({"user_id": 1, "as_of": as_of, **history}, user_schema, 3 + shift),
            _counted({"user_id": -5, "as_of": as_of, **empty}, user_schema, shift),
            _counted({"user_id": 99, "as_of": as_of, **empty}, user_schema, 2**40 + shift),
        ],
        user_schema,
    )
    _write_file(
        state / "items.parquet",
        [
            _counted({"item_id": item, "as_of": as_of}, item_schema, number + shift)
            for number, item in enumerate(["a", "", "b'\"", "only-in-events"])
        ],
        item_schema,
    )
    return events, state


def _counted(row: dict[str, Any], schema: pa.Schema, start: int) -> dict[str, Any]:
    names = [f.name for f in schema if f.name not in row]
    return row | {name: start + number for number, name in enumerate(names)}


def _write(folder: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    _write_file(folder / "part-0.parquet", rows, schema)


def _write_file(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
