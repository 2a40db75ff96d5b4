"""A small definition and random examples for it: strings and integers, missing and unseen values."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hemix.features.definition import DatasetDefinition
from hemix.features.schema import MISSING_INT, ColumnTypes, examples_schema

START = int(datetime(2022, 1, 1, tzinfo=UTC).timestamp() * 1000)
DAY = 86_400_000
TYPES = ColumnTypes(
    user_id=pa.string(),
    item_id=pa.int64(),
    users={"city": pa.string(), "age": pa.float64()},
    items={"author": pa.string(), "kind": pa.int64(), "price": pa.float64()},
    context={"tab": pa.int64()},
)
DEFINITION = DatasetDefinition.parse(
    {
        "name": "tiny",
        "interactions": [
            {
                "paths": ["x"],
                "columns": {"user_id": "u", "item_id": "i", "event_time": "t", "tab": "tab"},
                "labels": {"click": {"column": "click"}},
            }
        ],
        "derived_behaviors": {"actions": {"click": "click"}, "otherwise": "seen"},
        "users": [{"paths": ["x"], "columns": {"user_id": "u", "city": "c", "age": "a"}}],
        "items": [
            {
                "paths": ["x"],
                "columns": {
                    "item_id": "i",
                    "author": "a",
                    "kind": "k",
                    "price": "p",
                    "made": "m",
                },
            }
        ],
        "item_created_at": "made",
        "tasks": ["click"],
        "categorical": [
            {"name": "user_id", "min_count": 2, "oov_buckets": 3},
            {"name": "item_id", "min_count": 3, "oov_buckets": 4},
            {"name": "author", "oov_buckets": 1},
            {"name": "city"},
            {"name": "kind"},
            {"name": "tab"},
        ],
        "numeric": [{"name": "age", "scale": "linear", "buckets": 5}, {"name": "price"}],
        "sequences": {"columns": ["author"], "global_length": 6, "realtime_length": 4},
        "counters": [
            {"key": "user_id"},
            {"key": "author", "windows": ["1d", "ever"]},
            {"key": "kind", "events": ["click"], "actions": ["seen"], "windows": ["1d"]},
        ],
        "rates": [
            {"key": "author", "event": "click", "windows": ["1d"], "parents": ["user_id"]},
            {"key": "kind", "event": "click", "per": "seen", "smoothing": 2.5},
        ],
        "split": {
            "train": {"start": "2022-01-01", "end": "2022-01-04"},
            "validation": {"start": "2022-01-03", "end": "2022-01-04"},
            "test": {"start": "2022-01-04", "end": "2022-01-06"},
        },
    }
)

PRIORS = {"click": 0.4, "kind_click_per_seen_rate_1d": 0.5}
"""What a plan of it needs to know of the training split."""


def _strings(rng: np.random.Generator, prefix: str, n: int, size: int) -> list[str]:
    values = [f"{prefix}{k}" for k in range(size)]
    return ["" if rng.random() < 0.1 else values[int(k)] for k in rng.zipf(1.4, n) % size]


def _values(rng: np.random.Generator, name: str, kind: pa.DataType, n: int, size: int) -> Any:
    if name.endswith("gap_s"):
        return np.where(rng.random(n) < 0.2, -1, rng.integers(0, 2 ** rng.integers(1, 25), n))
    if pa.types.is_string(kind):
        return _strings(rng, "é " if name.endswith("author") else name[-2:], n, size)
    if pa.types.is_floating(kind):
        # Far from zero beside their spread, and on both sides of it.
        x = rng.exponential(20, n) + {"age": 20_270_400, "price": -5}.get(name, 0)
        x[rng.random(n) < 0.15] = np.nan
        return x
    x = rng.zipf(1.4, n) % (size * 20 if name.endswith("item_id") else size)
    if "_id" in name or name in ("kind", "tab"):
        x[rng.random(n) < 0.1] = MISSING_INT
    return x


def examples_table(rows: int, seed: int, size: int = 30) -> pa.Table:
    """Random examples of the tiny definition, five days, rows in time order."""
    rng = np.random.default_rng(seed)
    columns: dict[str, pa.Array] = {}
    lengths: dict[str, np.ndarray] = {
        "global": rng.integers(0, 7, rows),
        "realtime": rng.integers(0, 5, rows),
    }
    for field in examples_schema(DEFINITION, TYPES):
        name, kind = field.name, field.type
        if name == "event_time":
            values = np.sort(START + rng.integers(0, 5 * DAY, rows))
        elif name == "request_id":
            values = [f"r{i}" for i in range(rows)]
        elif name.startswith("label_"):
            values = (rng.random(rows) < 0.4).astype(np.int8)
        elif name in ("hour", "weekday"):
            values = rng.integers(0, 24 if name == "hour" else 7, rows)
        elif pa.types.is_list(kind):
            length = lengths[name.split("_")[0]]
            offsets = np.concatenate([[0], np.cumsum(length)]).astype(np.int32)
            flat = pa.array(_values(rng, name, kind.value_type, int(offsets[-1]), size))
            columns[name] = pa.ListArray.from_arrays(pa.array(offsets), flat.cast(kind.value_type))
            continue
        else:
            values = _values(rng, name, kind, rows, size)
        columns[name] = pa.array(values).cast(kind)
    return pa.table(columns, schema=examples_schema(DEFINITION, TYPES))


def write_examples(table: pa.Table, folder: Path, files_a_day: int = 1) -> Path:
    """The table as an examples artifact."""
    days = (table["event_time"].cast(pa.int64()).to_numpy() - START) // DAY
    for day in np.unique(days):
        rows = np.flatnonzero(days == day)
        out = folder / f"day=2022-01-{1 + int(day):02d}"
        out.mkdir(parents=True)
        for part, pick in enumerate(np.array_split(rows, files_a_day)):
            pq.write_table(table.take(pa.array(pick)), out / f"part-{part}.parquet")
    (folder / "types.json").write_text(json.dumps(TYPES.to_json()))
    return folder
