"""How many hash buckets new values get, measured on made-up examples."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.features.definition import DatasetDefinition
from hemix.features.schema import TIME
from hemix.features.transform.unseen import FEWEST, bucket_sizes
from hemix.features.transform_plan import make_plan
from tests.features.transform.tiny import DEFINITION, PRIORS, TYPES

DAYS = {"train": datetime(2022, 1, 1, 5, tzinfo=UTC), "later": datetime(2022, 1, 3, 5, tzinfo=UTC)}


def definition(**item: Any) -> DatasetDefinition:
    value = DEFINITION.model_dump(mode="json")
    value["categorical"][1] = {"name": "item_id", **item}
    return DatasetDefinition.parse(value)


def write(folder: Path, trained: list[int], later: list[int]) -> Path:
    for name, items in (("train", trained), ("later", later)):
        time = DAYS[name]
        rows = {
            "item_id": items,
            "author": ["a"] * len(items),
            "event_time": pa.array([time] * len(items), TIME),
        }
        path = folder / f"day={time:%Y-%m-%d}" / "part-0.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(pa.table(rows), path)
    return folder


@pytest.mark.parametrize(
    ("later", "buckets"),
    [
        ([1, 2, 3] * 100, 1),
        ([1, 2] * 100 + [77], 1),  # one in two hundred
        ([1, 2] * 10 + [77, 78, 77], FEWEST),
        (list(range(1000, 1300)), 1024),
        (list(range(10_000, 90_000)), 8192),
    ],
)
def test_new_values_get_twice_as_many_ids_as_there_are(
    tmp_path: Path, later: list[int], buckets: int
) -> None:
    random.Random(3).shuffle(later)
    sizes = bucket_sizes(definition(), write(tmp_path, [1, 2, 3], later))
    assert sizes == {"item_id": buckets}


def test_what_the_definition_says_goes_first(tmp_path: Path) -> None:
    made = definition(oov_buckets=7, min_count=1)
    sizes = bucket_sizes(made, write(tmp_path, [1], [2]))
    assert sizes == {}
    plan = make_plan(made, TYPES, PRIORS, sizes)
    item = next(v for v in plan.vocabularies if v.name == "item_id")
    assert (item.oov_buckets, item.min_count) == (7, 1)


def test_values_seen_once_train_the_buckets_of_new_ones() -> None:
    plan = make_plan(definition(), TYPES, PRIORS, {"item_id": 256})
    found = {v.name: (v.oov_buckets, v.min_count) for v in plan.vocabularies}
    assert found["item_id"] == (256, 2)
    assert found["author"] == (1, 1)
