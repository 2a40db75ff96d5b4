"""Small logs with everything that makes point-in-time joins hard, and ways to build their examples."""

from __future__ import annotations

import itertools
import math
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import strategies as st

from hemix.features.definition import DatasetDefinition
from hemix.features.examples.log import read_tasks, read_types
from hemix.features.examples.plan import Plan, parts_of_days
from hemix.features.examples.shard import BuildShard, Scatter
from hemix.features.examples.write_partitions import WritePart
from hemix.features.schema import (
    ColumnTypes,
    behaviors_schema,
    examples_schema,
    interactions_schema,
    items_schema,
    users_schema,
)
from hemix.files import write_json
from tests.features.oracle import DAY, STATISTICS, Oracle, Row

MIDNIGHT = 19_000 * DAY
SPLITS = [
    (window, overlap) for window in ("day", 2, 3600, "2d", "last") for overlap in (False, True)
]
"""Every kind of real-time window, without and with the overlap of the global sequence."""
TABLES = ("behaviors", "interactions", "users", "items")


@dataclass(frozen=True, kw_only=True)
class SmallLog:
    """A definition, its types and the rows of its four tables; times are int milliseconds."""

    definition: DatasetDefinition
    types: ColumnTypes
    behaviors: list[Row]
    interactions: list[Row]
    users: list[Row]
    items: list[Row]

    def oracle(self) -> Oracle:
        return Oracle(
            self.definition, self.types, self.behaviors, self.interactions, self.users, self.items
        )

    def schema(self, table: str) -> pa.Schema:
        return {
            "behaviors": behaviors_schema(self.types),
            "interactions": interactions_schema(self.definition, self.types),
            "users": users_schema(self.definition, self.types),
            "items": items_schema(self.definition, self.types),
        }[table]

    def shuffled(self, seed: int) -> SmallLog:
        shuffle = random.Random(seed)
        return replace(
            self,
            **{name: shuffle.sample(rows := getattr(self, name), len(rows)) for name in TABLES},
        )

    def write(self, folder: Path, row_group_size: int = 3) -> Path:
        """Write the log as ingest would; tiny row groups make several read tasks."""
        for table in TABLES:
            schema, rows = self.schema(table), getattr(self, table)
            groups: dict[str, list[Row]] = defaultdict(list)
            for row in rows:
                day = date(1970, 1, 1) + timedelta(days=row.get("event_time", 0) // DAY)
                groups[f"day={day}" if "event_time" in row else ""].append(row)
            for name, members in groups.items():
                path = folder / table / name / "part-0.parquet"
                path.parent.mkdir(parents=True, exist_ok=True)
                data = pa.Table.from_pylist(members, schema=schema)
                pq.write_table(data, path, row_group_size=row_group_size)
        write_json(folder / "types.json", self.types.to_json())
        return folder


def build_in_memory(
    definition: DatasetDefinition,
    events: Path,
    out: Path,
    *,
    shards: int = 3,
    seed: int = 0,
    rows_a_part: int = 4,
) -> Path:
    """The stages of the pipeline with a dictionary for a shuffle, in a random order."""
    shuffle = random.Random(seed)
    scratch = out.parent / f"{out.name}.scratch"
    scratch.mkdir(parents=True)
    tasks = [t for table in TABLES[:2] for t in read_tasks(events, table)]
    plan = Plan(
        definition=definition,
        types=read_types(events),
        events=events,
        scratch=scratch,
        out=out,
        shards=shards,
        parts=parts_of_days([t for t in tasks if t.table == "interactions"], rows_a_part),
    )
    shuffle.shuffle(tasks)
    scattered = _grouped(itertools.chain.from_iterable(map(Scatter(plan), tasks)), shuffle)
    built = itertools.chain.from_iterable(map(BuildShard(plan), scattered))
    for group in _grouped(built, shuffle):
        WritePart(plan)(group)
    return out


def is_plain(key: Any) -> bool:
    """An ``int``, or a text and an ``int``, and nothing that only equals them: runners that place groups by
    a key's bytes or its token would part ``1``, ``True``, ``1.0`` and ``np.int64(1)``."""
    kinds = [type(part) for part in key] if type(key) is tuple else [str, type(key)]
    return kinds == [str, int]


def _grouped(
    pairs: Iterable[tuple[Any, Any]], shuffle: random.Random
) -> list[tuple[Any, list[Any]]]:
    groups: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        assert is_plain(key), key
        groups[key].append(value)
    result = list(groups.items())
    for _, values in result:
        shuffle.shuffle(values)
    shuffle.shuffle(result)
    return result


def read_examples(out: Path, log: SmallLog) -> list[Row]:
    """All rows, part after part, comparable by ``==``; every part must have the schema."""
    schema = examples_schema(log.definition, log.types)
    rows: list[Row] = []
    for path in sorted(out.glob("day=*/*.parquet")):
        table = pq.ParquetFile(path).read()
        assert table.schema.equals(schema), path
        rows += table.to_pylist()
    return comparable(rows)


def comparable(rows: list[Row]) -> list[Row]:
    """Times as milliseconds and NaN as text, so that equal means bit for bit."""

    def plain(value: Any) -> Any:
        if isinstance(value, datetime):
            return (value - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        if isinstance(value, float):
            return value.hex() if not math.isnan(value) else "nan"
        return [plain(v) for v in value] if isinstance(value, list) else value

    return [{name: plain(row[name]) for name in sorted(row)} for row in rows]


COUNTING = [
    {"key": "author_id", "actions": ["like", "seen"], "windows": ["ever"], "since_last": True},
    {"key": "item_id", "events": ["click"], "windows": ["1h"], "since_last": True},
    {"key": "user_id", "actions": ["click"], "windows": ["2s"], "since_last": True},
    {
        "key": ["user_id", "item_id"],
        "events": ["impression", "like"],
        "actions": ["click"],
        "windows": ["2s", "ever"],
        "since_last": True,
    },
    {"key": ["user_id", "tag"], "actions": ["like", "click"], "last": 3},
    {"key": ["user_id", "tab"], "windows": ["1h"], "last": 2, "since_last": True},
]
"""Counters of actions and of pairs, with the time since the last event."""


def definition(
    *, counting: bool = False, matching: bool = True, **sequences: Any
) -> DatasetDefinition:
    """A definition with every kind of column.

    ``counting``: also those of :data:`COUNTING` and, with ``matching``, matches.
    """
    return DatasetDefinition.parse(
        {
            "name": "small",
            "interactions": [
                {
                    "paths": ["x"],
                    "columns": {
                        "user_id": "u",
                        "item_id": "i",
                        "event_time": "t",
                        "request_id": "r",
                        "tab": "tab",
                        "price": "price",
                    },
                    "labels": {"click": {"column": "c"}, "like": {"column": "l"}},
                }
            ],
            "behaviors": [
                {
                    "paths": ["x"],
                    "columns": {"user_id": "u", "item_id": "i", "event_time": "t", "action": "a"},
                }
            ],
            "users": [{"paths": ["x"], "columns": {"user_id": "u", "city": "c", "fans": "f"}}],
            "items": [
                {
                    "paths": ["x"],
                    "columns": {"item_id": "i", "author_id": "a", "tag": "t", "size": "s"},
                }
            ],
            "item_created_at": "size",
            "tasks": ["click", "like"],
            "categorical": [
                {"name": n} for n in ("user_id", "item_id", "author_id", "tag", "tab", "city")
            ],
            "numeric": [
                {"name": "fans"},
                {"name": "size"},
                {"name": "price", "per": "candidate"},
            ],
            "sequences": {"columns": ["author_id", "tag"], **sequences},
            "counters": [
                {"key": "user_id", "windows": ["1h", "1d", "ever"]},
                {"key": "item_id", "events": ["like", "impression"], "windows": ["2s", "ever"]},
                {"key": "author_id", "windows": ["1d"]},
                {"key": "tag", "events": ["click"], "windows": ["1h", "ever"]},
                *(COUNTING if counting else ()),
            ],
            "matches": [
                {"column": "item_id", "last": [1, 2]},
                {"column": "author_id", "sequences": ["realtime"]},
            ]
            if counting and matching
            else [],
            "within_request": [
                {"of": "price", "statistics": list(STATISTICS)},
                {"of": "author_click_1d", "statistics": ["rank", "ratio_to_mean"]},
                {"of": "item_age_days", "statistics": ["rank", "mean"]},
            ],
            "split": {
                "train": {"start": "2022-01-01", "end": "2022-01-08"},
                "test": {"start": "2022-01-08", "end": "2022-01-09"},
            },
        }
    )


@st.composite
def logs(
    draw: st.DrawFn,
    max_rows: int = 14,
    splits: Sequence[tuple[str | int, bool]] = SPLITS,
    *,
    counting: bool = False,
    matching: bool = True,
) -> SmallLog:
    """Ties, repeats, bounds instead of times, midnights, late, unknown and versioned items."""
    texts = draw(st.booleans())
    kind = pa.string() if texts else pa.int64()

    def ids(prefix: str, count: int) -> st.SearchStrategy[Any]:
        # Text of several lengths and alphabets: the order must be that of code points.
        values = ["é", "z", f"{prefix}1", f"{prefix}10", "\U0001f600", "\uffff"]
        return st.sampled_from(values[:count]) if texts else st.integers(-2, count - 3)

    small = draw(
        st.sampled_from(
            [
                {},
                {"availability_delay": 1},
                {"availability_delay": "1h"},
                {"availability_delay": 1, "serving_lag": "1h"},
                {"availability_delay": "2d"},
            ]
        )
    )
    window, overlap = draw(st.sampled_from(splits))
    made = definition(
        counting=counting,
        matching=matching,
        global_length=draw(st.integers(1, 4)),
        realtime_length=draw(st.integers(1, 3)),
        realtime_window=window,
        overlap=overlap,
        **small,
    )
    near = st.sampled_from(
        [-2 * DAY, -DAY, -DAY + 1, -3_600_000, -2000, -1000, -1, 0, 1, 999, 1000, 3_600_001, DAY]
    )
    times = st.builds(lambda a, b: MIDNIGHT + a + b, near, st.sampled_from([0, 0, 1, 1000]))
    users, items = ids("u", 4), ids("i", 5)
    tags = st.sampled_from(["", "a", "b", "aé"])
    authors = st.sampled_from([-(2**63), 0, 1, 2**62])
    labels = st.integers(0, 1)
    valid_from = st.one_of(st.just(0), times)

    def table(columns: dict[str, st.SearchStrategy[Any]], **options: Any) -> list[Row]:
        return draw(st.lists(st.fixed_dictionaries(columns), **options))

    def versions(key: str, rows: list[Row]) -> list[Row]:
        return list({(row[key], row["valid_from"]): row for row in rows}.values())

    behaviors = table(
        {
            "user_id": users,
            "item_id": items,
            "event_time": times,
            "action": st.sampled_from(["like", "click"]),
            "time_exact": st.sampled_from([True, True, False]),
            "position": st.integers(0, 2),
        },
        max_size=max_rows,
    )
    return SmallLog(
        definition=made,
        types=ColumnTypes(
            user_id=kind,
            item_id=kind,
            users={"city": pa.string(), "fans": pa.float64()},
            items={"author_id": pa.int64(), "tag": pa.string(), "size": pa.float64()},
            context={"tab": pa.int64(), "price": pa.float64()},
        ),
        behaviors=behaviors + behaviors[: draw(st.integers(0, 3))],
        interactions=table(
            {
                "request_id": st.sampled_from(["", "a", "b"]),
                "user_id": users,
                "item_id": items,
                "event_time": times,
                "tab": st.integers(0, 1),
                "price": st.sampled_from([0.5, 2.0, -0.0, 0.0, math.nan, 1e30, 0.1]),
                "label_click": labels,
                "label_like": labels,
            },
            min_size=1,
            max_size=max_rows,
        ),
        users=versions(
            "user_id",
            table(
                {
                    "user_id": users,
                    "city": tags,
                    "fans": st.sampled_from([1.0, math.nan]),
                    "valid_from": valid_from,
                },
                max_size=4,
            ),
        ),
        items=versions(
            "item_id",
            table(
                {
                    "item_id": items,
                    "author_id": authors,
                    "tag": tags,
                    "size": st.just(1.5),
                    "created_at": st.one_of(st.none(), times),
                    "valid_from": valid_from,
                },
                max_size=6,
            ),
        ),
    )
