"""The vectorised path equals the brute-force oracle bit for bit, however it is run."""

from __future__ import annotations

import itertools
import math
import tempfile
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hemix.errors import DataError
from hemix.features.beam.options import own_errors
from hemix.features.definition import DatasetDefinition
from hemix.features.examples.build import build
from hemix.features.examples.plan import EPOCH
from hemix.features.examples.write_partitions import sort_rows
from hemix.files import read_json, sha256_folder
from tests.features.logs import (
    DAY,
    MIDNIGHT,
    SPLITS,
    SmallLog,
    build_in_memory,
    comparable,
    is_plain,
    logs,
    read_examples,
)

pytestmark = pytest.mark.slow

CHEAP = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def fast(log: SmallLog, **options: int) -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as folder:
        events = log.write(Path(folder) / "events")
        return read_examples(
            build_in_memory(log.definition, events, Path(folder) / "out", **options), log
        )


@pytest.mark.parametrize("split", SPLITS)
@settings(CHEAP, max_examples=25)
@given(data=st.data(), shards=st.integers(1, 5), seed=st.integers(0, 99))
def test_equals_the_oracle(
    split: tuple[str | int, bool], data: st.DataObject, shards: int, seed: int
) -> None:
    log = data.draw(logs(splits=[split], counting=True))
    assert fast(log, shards=shards, seed=seed) == comparable(log.oracle().examples())


@settings(CHEAP, max_examples=25)
@given(log=logs(), seed=st.integers(1, 99))
def test_same_bytes_whatever_the_order_and_the_shards(log: SmallLog, seed: int) -> None:
    digests = []
    with tempfile.TemporaryDirectory() as folder:
        for number, shards in enumerate((1, 4)):
            root = Path(folder) / str(number)
            events = log.shuffled(number * seed).write(root / "events", row_group_size=2 + number)
            out = build_in_memory(log.definition, events, root / "out", shards=shards, seed=seed)
            digests.append(sha256_folder(out))
    assert digests[0]
    assert digests[0] == digests[1]


@pytest.mark.parametrize(
    "key",
    [np.int64(3), True, 3.0, "3", ("users", np.int64(3)), (np.str_("users"), 3), ("users", True)],
)
def test_a_key_that_only_equals_a_plain_one_is_found(key: object) -> None:
    """Every key of every test here that builds in memory is looked at."""
    assert is_plain(3)
    assert is_plain(("users", 3))
    assert not is_plain(key)


@settings(CHEAP, max_examples=40)
@given(log=logs(), offset=st.sampled_from([-DAY, -1000, 0, 1, 1000, DAY]))
def test_nothing_later_changes_an_example(log: SmallLog, offset: int) -> None:
    time = MIDNIGHT + offset
    log.interactions.append({**log.interactions[0], "event_time": time})
    later = replace(
        log,
        behaviors=[row for row in log.behaviors if row["event_time"] < time],
        interactions=[row for row in log.interactions if row["event_time"] <= time],
        users=[row for row in log.users if row["valid_from"] <= time],
        items=[row for row in log.items if row["valid_from"] <= time],
    )
    assert fast(later) == [row for row in fast(log) if row["event_time"] <= time]


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ((), {}),
        (("--direct_running_mode=multi_processing", "--direct_num_workers=2"), {}),
        ((), {"realtime_window": "last"}),
        ((), {"realtime_window": "last", "overlap": True}),
        ((), {"overlap": True}),
    ],
)
def test_beam_equals_the_oracle(
    tmp_path: Path, options: tuple[str, ...], rule: dict[str, object]
) -> None:
    log = _one_log(**rule)
    events = log.write(tmp_path / "events")
    build(log.definition, events, tmp_path / "out", runner_options=options, shards=5)
    assert read_examples(tmp_path / "out", log) == comparable(log.oracle().examples())
    assert {path.name for path in tmp_path.iterdir()} == {"events", "out"}


def test_beam_gives_the_same_bytes_for_any_number_of_shards(
    tmp_path: Path, small_events: Path, small_examples: Path, small_definition: DatasetDefinition
) -> None:
    build(small_definition, small_events, tmp_path / "out", shards=3)
    assert sha256_folder(tmp_path / "out") == sha256_folder(small_examples)


def test_days_alone_are_the_same_bytes_as_with_all_others(
    tmp_path: Path, small_events: Path, small_examples: Path, small_definition: DatasetDefinition
) -> None:
    days = [date(2022, 4, 26), date(2022, 4, 28)]
    build(small_definition, small_events, tmp_path / "out", days=days)
    folders = [f"day={day}" for day in days]
    assert sorted(path.name for path in (tmp_path / "out").glob("day=*")) == folders
    for folder in folders:
        assert sha256_folder(tmp_path / "out" / folder) == sha256_folder(small_examples / folder)
    rows = read_json(small_examples / "summary.json")["days"]
    assert read_json(tmp_path / "out" / "summary.json")["days"] == {
        str(day): rows[str(day)] for day in days
    }


@settings(CHEAP, max_examples=10)
@given(log=logs(), shards=st.integers(1, 3), which=st.integers(0, 9))
def test_a_day_alone_equals_the_oracle_whatever_comes_later(
    log: SmallLog, shards: int, which: int
) -> None:
    days = sorted({int(row["event_time"]) // DAY for row in log.interactions})
    day = days[which % len(days)]
    with tempfile.TemporaryDirectory() as folder:
        digests = []
        for name, tables in (("all", log), ("early", _until_the_end_of(log, day))):
            events = tables.write(Path(folder) / name / "events")
            out = Path(folder) / name / "out"
            build(log.definition, events, out, shards=shards, days=[EPOCH + timedelta(days=day)])
            digests.append(sha256_folder(out))
        expected = [row for row in log.oracle().examples() if row["event_time"] // DAY == day]
        assert read_examples(out, log) == comparable(expected)
    assert digests[0] == digests[1]


def _until_the_end_of(log: SmallLog, day: int) -> SmallLog:
    end = (day + 1) * DAY
    return replace(
        log,
        behaviors=[row for row in log.behaviors if row["event_time"] < end],
        interactions=[row for row in log.interactions if row["event_time"] < end],
    )


def test_days_without_interactions_are_named(tmp_path: Path) -> None:
    log = _one_log()
    with pytest.raises(DataError, match="no interactions of 1999-01-01"):
        build(log.definition, log.write(tmp_path / "e"), tmp_path / "out", days=[date(1999, 1, 1)])


def test_a_truncated_file_is_named(tmp_path: Path) -> None:
    log = _one_log()
    events = log.write(tmp_path / "events")
    path = sorted(events.glob("behaviors/*/*.parquet"))[0]
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match=str(path)):
        build(log.definition, events, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"events"}


def test_damaged_pages_leave_nothing_behind(tmp_path: Path) -> None:
    log = _one_log()
    events = log.write(tmp_path / "events")
    path = sorted(events.glob("behaviors/*/*.parquet"))[0]
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(len(data) // 3) + data[4 + len(data) // 3 :])
    with pytest.raises(DataError, match=str(path)):
        build(log.definition, events, tmp_path / "out")
    assert {path.name for path in tmp_path.iterdir()} == {"events"}


@pytest.mark.parametrize("kind", [DataError, RuntimeError])
def test_our_failure_comes_out_of_a_workers_traceback(kind: type[Exception]) -> None:
    prefix = "" if kind is DataError else "Traceback\n  line 1\nhemix.errors.DataError: "
    with pytest.raises(DataError) as caught, own_errors():
        raise kind(f"{prefix}x.parquet: cannot read. [while running 'scatter']\n\nmore")
    assert str(caught.value) == "x.parquet: cannot read."
    with pytest.raises(RuntimeError, match="other"), own_errors():
        raise RuntimeError("other")


def test_no_interactions_is_an_error(tmp_path: Path) -> None:
    events = replace(_one_log(), interactions=[]).write(tmp_path / "events")
    with pytest.raises(DataError, match="no interactions"):
        build(_one_log().definition, events, tmp_path / "out")


def _one_log(**rule: object) -> SmallLog:
    """One log with much in it, the same every time."""
    import random

    from tests.features.logs import ColumnTypes, definition, pa

    pick = random.Random(7)
    times = [
        MIDNIGHT + day * DAY + pick.randrange(0, DAY, 1800_000)
        for day in range(4)
        for _ in range(30)
    ]
    return SmallLog(
        definition=definition(counting=True, global_length=5, realtime_length=3, **rule),
        types=ColumnTypes(
            user_id=pa.string(),
            item_id=pa.int64(),
            users={"city": pa.string(), "fans": pa.float64()},
            items={"author_id": pa.int64(), "tag": pa.string(), "size": pa.float64()},
            context={"tab": pa.int64(), "price": pa.float64()},
        ),
        behaviors=[
            {
                "user_id": pick.choice("abc"),
                "item_id": pick.randrange(9),
                "event_time": time,
                "action": pick.choice(["view", "like"]),
                "time_exact": pick.random() < 0.9,
                "position": 0,
            }
            for time in times
        ],
        interactions=[
            {
                "request_id": str(number),
                "user_id": pick.choice("abcd"),
                "item_id": pick.randrange(9),
                "event_time": time,
                "tab": 1,
                "price": 2.0,
                "label_click": pick.randrange(2),
                "label_like": 0,
            }
            for number, time in enumerate(times)
        ],
        users=[{"user_id": "a", "city": "x", "fans": 1.0, "valid_from": 0}],
        items=[
            {
                "item_id": item,
                "author_id": item % 3,
                "tag": "t",
                "size": 1.0,
                "created_at": MIDNIGHT,
                "valid_from": MIDNIGHT + version * DAY,
            }
            for item in range(7)
            for version in range(item % 2 + 1)
        ],
    )


def test_the_sign_of_a_zero_decides_where_all_else_is_equal() -> None:
    """Whatever order the rows come in: two prices of one instant, a user and an item."""
    keys = ["event_time", "user_id", "item_id", "request_id"]
    prices = [0.0, -0.0, math.nan, -1.0, 0.0, -0.0]
    for order in itertools.permutations(range(len(prices))):
        table = pa.table({name: [7] * len(prices) for name in keys})
        table = table.append_column("price", pa.array([prices[place] for place in order]))
        found = table.take(pa.array(sort_rows(table, table.column_names)))["price"].to_pylist()
        assert list(map(str, found)) == ["-1.0", "-0.0", "-0.0", "0.0", "0.0", "nan"]
