from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from hemix.errors import DataError, StorageError
from hemix.serving.experiments.examining import before_experiment
from hemix.serving.experiments.joining import join
from hemix.serving.experiments.logs import read_exposures, read_outcomes
from hemix.serving.experiments.statistics.preperiod import columns_of
from tests.serving.experiments.logged import (
    DAY_MS,
    START_MS,
    exposure,
    write_exposures,
    write_outcomes,
)

EPOCH = exposure("r", 1).assigned[0].epoch
HOUR_MS = 3_600_000
OUTCOMES = [
    ("r1", 1, "click", 0.0, START_MS + 10),
    ("r1", 1, "click", 1.0, START_MS + 500),  # the click after the impression
    ("r1", 1, "click", 1.0, START_MS + 500),  # delivered twice
    ("r1", 2, "click", 0.0, START_MS + 10),
    ("r1", 3, "click", 1.0, START_MS + 25 * HOUR_MS),  # late
    ("r1", 3, "click", 1.0, START_MS - 1),  # before its request
    ("r1", 99, "click", 1.0, START_MS + 10),  # not a candidate
    ("nowhere", 1, "click", 1.0, START_MS + 10),
    ("r2", 1, "click", 1.0, START_MS + DAY_MS + HOUR_MS),
]


def write(root: Path) -> None:
    log = [
        exposure("r1", 1),
        exposure("r2", 2, time_ms=START_MS + DAY_MS),
        exposure("r1", 1, time_ms=START_MS + 5),  # a retry
        exposure("old", 1, time_ms=START_MS - DAY_MS, epoch="earlier"),
        exposure("torn", 3, time_ms=START_MS + 7),
    ]
    write_exposures(root / "exposures", log)
    write_outcomes(root / "outcomes" / "part-0.jsonl", OUTCOMES)


def counted(root: Path) -> dict[str, int]:
    found = join(
        read_exposures(str(root / "exposures"), layer="model"),
        read_outcomes(str(root / "outcomes")),
        epoch=EPOCH,
        window_ms=DAY_MS,
    )
    return vars(found.counts)


def test_everything_is_joined_or_counted(tmp_path: Path) -> None:
    write(tmp_path)
    (file,) = (tmp_path / "exposures").iterdir()
    file.write_bytes(file.read_bytes()[:-20])  # the endpoint was killed in the middle of a line
    with (tmp_path / "outcomes" / "part-1.jsonl").open("w") as more:
        more.write('{"request_id": "r1"}\nnonsense\n')
        more.write(
            '{"request_id": "r1", "item_id": 1, "task": "click", "value": NaN, "time_ms": 1}\n'
        )
    assert counted(tmp_path) == {
        "lines": 4,
        "unreadable": 1,
        "other_layers": 0,
        "repeated": 1,
        "reused": 0,
        "other_epochs": 1,
        "other_variants": 0,
        "strayed_users": 0,
        "requests": 2,
        "users": 2,
        "outcomes": 9,
        "outcomes_unreadable": 3,
        "orphans": 1,
        "before_log": 0,
        "other_requests": 0,
        "ambiguous": 0,
        "foreign_items": 1,
        "early": 1,
        "late": 1,
        "duplicates": 2,
        "joined": 3,
    }


def test_the_order_of_the_logs_does_not_matter(tmp_path: Path) -> None:
    results = []
    for seed in range(3):
        root = tmp_path / str(seed)
        write(root)
        rows = OUTCOMES * 2  # everything delivered twice
        random.Random(seed).shuffle(rows)
        write_outcomes(root / "outcomes" / "part-0.jsonl", rows)
        found = join(
            read_exposures(str(root / "exposures"), layer="model"),
            read_outcomes(str(root / "outcomes")),
            epoch=EPOCH,
            window_ms=DAY_MS,
        )
        results.append(found.outcomes)
    assert_frame_equal(results[0], results[1])
    assert_frame_equal(results[0], results[2])
    assert results[0]["value"].to_list() == [1.0, 0.0, 1.0]


def test_a_user_with_two_variants_is_left_out(tmp_path: Path) -> None:
    from hemix.serving.experiments.assignment import variants_of
    from tests.serving.experiments.logged import registry_state

    arms = variants_of(registry_state())
    write_exposures(
        tmp_path / "exposures",
        [
            exposure("a", 1, variant=arms[0]),
            exposure("b", 1, variant=arms[1], time_ms=START_MS + 9),
            exposure("c", 2),
        ],
    )
    write_outcomes(tmp_path / "outcomes" / "part-0.jsonl", [])
    found = counted(tmp_path)
    assert (found["strayed_users"], found["requests"], found["users"]) == (1, 1, 1)


def test_outcomes_may_be_parquet_and_must_have_their_columns(tmp_path: Path) -> None:
    columns = {
        "request_id": ["r1"],
        "item_id": [1],
        "task": ["click"],
        "value": [1],
        "time_ms": [5],
    }
    pl.DataFrame(columns).write_parquet(tmp_path / "a.parquet")
    found = read_outcomes(str(tmp_path))
    assert found.rows.row(0) == ("r1", "1", "click", 1.0, 5)
    assert read_outcomes(str(tmp_path / "a.parquet")).rows.equals(found.rows)
    pl.DataFrame(columns).drop("task").write_parquet(tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"b\.parquet: outcomes lack the column task"):
        read_outcomes(str(tmp_path))
    (tmp_path / "b.parquet").write_bytes(b"not parquet")
    with pytest.raises(StorageError, match=r"b\.parquet: not a Parquet file"):
        read_outcomes(str(tmp_path))


def test_names_of_folders_are_no_patterns(tmp_path: Path) -> None:
    folder = tmp_path / "logs [1] *?" / "user_id=3"
    folder.mkdir(parents=True)
    outcomes = {
        "request_id": ["r"],
        "item_id": [1],
        "task": ["click"],
        "value": [1],
        "time_ms": [5],
    }
    pl.DataFrame(outcomes).write_parquet(folder / "a.parquet")
    assert read_outcomes(str(folder)).rows.height == 1
    users = pl.DataFrame({"user_id": ["7", "8"], "spent": [0.5, 1.5]})
    users.write_parquet(folder / "[known].parquet")
    assert_frame_equal(before_experiment(folder / "[known].parquet"), users)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"user_id": [7.0, 2.0**53 + 2], "n": [1, 2]}, "user_id of row 2: .* lost digits"),
        ({"user_id": [7.5], "n": [1]}, "user_id of row 1: 7.5 is not an id"),
        ({"user_id": ["a", None], "n": [1, 2]}, "user_id of row 2: None is not an id"),
        (
            {"user_id": ["b", "a", "7", "a", "a"], "n": [1, 2, 3, 4, 5]},
            "'a' stands in rows 2 and 4; .*: 3",
        ),
        ({"user_id": ["7", "7"], "n": [1, 1]}, "'7' stands in rows 1 and 2"),
        ({"user_id": ["a", "b"], "n": [1.0, float("-inf")]}, "n of row 2 is -inf"),
        ({"user_id": ["a"], "n": ["5"]}, "needs user_id and at least one number column"),
    ],
)
def test_what_is_known_of_users_says_one_thing_of_each(
    tmp_path: Path, columns: dict[str, list[Any]], message: str
) -> None:
    pl.DataFrame(columns).write_parquet(tmp_path / "k.parquet")
    with pytest.raises(DataError, match=message):
        before_experiment(tmp_path / "k.parquet")


@pytest.mark.parametrize("kind", [pl.Float64, pl.Float32, pl.Decimal(12, 2), pl.UInt64, pl.String])
def test_users_are_known_whatever_type_their_ids_have(tmp_path: Path, kind: Any) -> None:
    ids = pl.Series("user_id", ["70", "8"]).cast(pl.Int64).cast(kind)
    pl.DataFrame([ids, pl.Series("n", [0.5, None])]).write_parquet(tmp_path / "k.parquet")
    found = before_experiment(tmp_path / "k.parquet")
    assert found["user_id"].to_list() == ["70", "8"]
    assert columns_of(found, ["8", "9", "70"]).tolist() == [[0.5, 1.0], [0.5, 0.0], [0.5, 1.0]]
    with pytest.raises(
        DataError, match="of none of its 2 users: the file has '70', the exposures 'u70'"
    ):
        columns_of(found, ["u70", "u8"])


def test_a_folder_without_logs_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no exposures"):
        read_exposures(str(tmp_path / "nowhere"), layer="model")
    with pytest.raises(DataError, match="holds no outcomes"):
        read_outcomes(str(tmp_path))


def test_exposures_in_an_object_store_are_written_once_and_read_back(bucket: str) -> None:
    entries = [exposure(f"r{n}", n) for n in range(40)]
    write_exposures(f"{bucket}/exposures", entries[:25])
    write_exposures(f"{bucket}/exposures", entries[25:])  # another replica
    found = read_exposures(f"{bucket}/exposures", layer="model")
    assert sorted(found.rows["request_id"]) == sorted(e.request_id for e in entries)
    assert found.unreadable == 0
