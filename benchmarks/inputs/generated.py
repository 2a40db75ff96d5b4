"""Generated logs with long-tailed users: a median of 20 events, 1,000 at the 99th percentile."""

from __future__ import annotations

import math
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hemix.features.definition import DatasetDefinition
from hemix.features.schema import (
    TIME,
    ColumnTypes,
    behaviors_schema,
    interactions_schema,
    items_schema,
    users_schema,
)
from hemix.files import write_json

DAY_MS = 86_400_000
FIRST_DAY = 19_000
DAYS = 30
ITEMS = 50_000
MEDIAN = 20
SIGMA = math.log(1000 / MEDIAN) / 2.3263  # the 99th percentile of a standard normal
TYPES = ColumnTypes(
    user_id=pa.int64(),
    item_id=pa.int64(),
    users={"city": pa.string()},
    items={"author_id": pa.int64(), "tag": pa.string()},
    context={"tab": pa.int64()},
)


def definition(**sequences: object) -> DatasetDefinition:
    """Sequences of 50 and 20 events with author and tag; counters by user, item and author.

    ``sequences`` are other values of keys of the definition's sequences.
    """
    keys = {"user_id": "user_id", "item_id": "item_id", "event_time": "event_time"}
    return DatasetDefinition.parse(
        {
            "name": "generated",
            "interactions": [
                {
                    "paths": ["-"],
                    "columns": {**keys, "request_id": "request_id", "tab": "tab"},
                    "labels": {"click": {"column": "click"}},
                }
            ],
            "behaviors": [{"paths": ["-"], "columns": {**keys, "action": "action"}}],
            "users": [{"paths": ["-"], "columns": {"user_id": "user_id", "city": "city"}}],
            "items": [
                {
                    "paths": ["-"],
                    "columns": {"item_id": "item_id", "author_id": "author_id", "tag": "tag"},
                }
            ],
            "tasks": ["click"],
            "categorical": [
                {"name": name} for name in ("user_id", "item_id", "author_id", "tag", "tab", "city")
            ],
            "sequences": {"columns": ["author_id", "tag"], **sequences},
            "counters": [{"key": "user_id"}, {"key": "item_id"}, {"key": "author_id"}],
            "split": {
                "train": {"start": "2022-01-08", "end": "2022-02-05"},
                "test": {"start": "2022-02-05", "end": "2022-02-08"},
            },
        }
    )


def write_log(folder: Path, rows: int, seed: int = 0) -> Path:
    """Write an events folder with ``rows`` interactions and as many behaviours.

    Users come to the app for a while and do several things each time; items follow a power law.
    """
    rng = np.random.default_rng(seed)
    counts = np.empty(0, np.int64)
    while counts.sum() < rows:
        more = rng.lognormal(math.log(MEDIAN), SIGMA, size=max(64, rows // 80))
        counts = np.concatenate([counts, np.ceil(more).astype(np.int64)])
    counts = counts[: int(np.searchsorted(np.cumsum(counts), rows)) + 1]
    users = np.repeat(np.arange(len(counts)), counts)[:rows]
    made = definition()
    for table, schema in (
        ("behaviors", behaviors_schema(TYPES)),
        ("interactions", interactions_schema(made, TYPES)),
    ):
        times = _times(rng, users)
        columns: dict[str, object] = {
            "request_id": np.char.add("r", np.arange(rows).astype(str)),
            "user_id": users,
            "item_id": np.minimum(rng.zipf(1.2, rows), ITEMS) - 1,
            "event_time": pa.array(times).cast(TIME),
            "tab": rng.integers(0, 5, rows),
            "label_click": rng.integers(0, 2, rows, dtype=np.int8),
            "action": np.array(["view", "like", "share"])[rng.integers(0, 3, rows)],
            "time_exact": np.ones(rows, np.bool_),
            "position": np.zeros(rows, np.int32),
        }
        order = np.argsort(times // DAY_MS, kind="stable")
        data = pa.table({name: columns[name] for name in schema.names}).cast(schema)
        data = data.take(pa.array(order))
        days, starts = np.unique(times[order] // DAY_MS, return_index=True)
        for day, start, end in zip(days, starts, [*starts[1:], rows], strict=True):
            path = folder / table / f"day={date(1970, 1, 1) + timedelta(days=int(day))}"
            path.mkdir(parents=True)
            pq.write_table(data.slice(start, end - start), path / "part-0.parquet")
    _write_dimensions(folder, len(counts), rng)
    write_json(folder / "types.json", TYPES.to_json())
    return folder


def _times(rng: np.random.Generator, users: np.ndarray) -> np.ndarray:
    """Visits of about ten events, some seconds apart, over 30 days."""
    rows = len(users)
    starts = (rng.random(rows) < 0.1) | np.r_[True, users[1:] != users[:-1]]
    visit = rng.integers(0, (DAYS - 1) * DAY_MS, int(starts.sum()))[np.cumsum(starts) - 1]
    first = np.maximum.accumulate(np.where(starts, np.arange(rows), 0))
    within = (np.arange(rows) - first) * 20_000 + rng.integers(0, 20_000, rows)
    return FIRST_DAY * DAY_MS + visit + within


def _write_dimensions(folder: Path, users: int, rng: np.random.Generator) -> None:
    known = {
        "users": (
            users_schema(definition(), TYPES),
            {
                "user_id": np.arange(users),
                "city": np.char.add("city", rng.integers(0, 300, users).astype(str)),
            },
        ),
        "items": (
            items_schema(definition(), TYPES),
            {
                "item_id": np.arange(ITEMS),
                "author_id": rng.integers(0, ITEMS // 10, ITEMS),
                "tag": np.char.add("tag", rng.integers(0, 60, ITEMS).astype(str)),
            },
        ),
    }
    for name, (schema, columns) in known.items():
        count = len(next(iter(columns.values())))
        table = pa.table({**columns, "valid_from": pa.array(np.zeros(count, np.int64)).cast(TIME)})
        (folder / name).mkdir(parents=True)
        pq.write_table(table.cast(schema), folder / name / "part-0.parquet")
