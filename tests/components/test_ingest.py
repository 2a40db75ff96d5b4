"""Ingest: what the events hold, and that order does not matter."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hemix.components.ingest import step
from hemix.components.ingest.repeats import Repeats, one_row_a_key
from hemix.components.ingest.spill import DaySpill
from hemix.errors import DataError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import (
    MISSING_INT,
    ColumnTypes,
    behaviors_schema,
    interactions_schema,
    items_schema,
    users_schema,
)
from hemix.features.sources.column_types import infer_types
from hemix.files import read_json, sha256_folder
from tests.logs import products, views, write_log


def ingest(definition: DatasetDefinition, out: Path) -> Path:
    step.run(definition=definition, out_events=out)
    return out


def table(events: Path, name: str) -> pl.DataFrame:
    return pl.read_parquet(sorted((events / name).rglob("*.parquet")), hive_partitioning=False)


def test_the_shop_becomes_events(tmp_path: Path) -> None:
    definition = write_log(tmp_path / "log")
    events = ingest(definition, tmp_path / "events")
    types = ColumnTypes.from_json(read_json(events / "types.json"))
    assert types == infer_types(definition)
    assert (str(types.user_id), str(types.item_id)) == ("int64", "string")
    for name, schema in {
        "interactions": interactions_schema(definition, types),
        "behaviors": behaviors_schema(types),
        "users": users_schema(definition, types),
        "items": items_schema(definition, types),
    }.items():
        for file in (events / name).rglob("*.parquet"):
            assert pq.read_schema(file) == schema

    raw, rows = views(), table(events, "interactions")
    assert rows.height == raw.height
    assert rows["label_buy"].sum() == raw["bought"].sum()
    first = rows.row(0, named=True)
    assert first["request_id"] == f"0-{int(first['event_time'].timestamp() * 1000)}"
    assert [p.name for p in sorted((events / "interactions").iterdir())] == [
        "day=2024-03-01",
        "day=2024-03-02",
        "day=2024-03-03",
    ]
    assert table(events, "behaviors")["action"].value_counts().sort("action").rows() == [
        ("buy", 120),
        ("view", 480),
    ]
    items = table(events, "items")
    assert items.filter(pl.col("item_id") == "p7")["brand"].to_list() == [""]
    assert table(events, "users").filter(pl.col("user_id") == 3)["age"].is_nan().all()
    summary = read_json(events / "summary.json")
    assert summary["rows_read"]["interactions"] == 600
    assert summary["label_rates"] == {"buy": 0.2}
    assert summary["splits"]["test"]["rows"] == 200


@pytest.mark.slow
@settings(
    max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**16), parts=st.integers(1, 4))
def test_order_and_parts_do_not_matter(
    tmp_path_factory: pytest.TempPathFactory, seed: int, parts: int
) -> None:
    folder = tmp_path_factory.mktemp("order")
    raw = pl.concat([views(200), views(200).head(9)])
    expected = ingest(write_log(folder / "a", views=raw), folder / "events_a")

    def split_paths(value: dict[str, Any]) -> None:
        value["interactions"][0]["paths"] = ["part-*.csv"]

    definition = write_log(folder / "b", change=split_paths)
    shuffled = raw.sample(fraction=1.0, shuffle=True, seed=seed)
    for part in range(parts):
        shuffled[part::parts].write_csv(folder / "b" / f"part-{part}.csv")
    found = ingest(definition, folder / "events_b")
    assert sha256_folder(found) == sha256_folder(expected)


def test_repeats_are_dropped_and_conflicts_keep_the_greatest_label(tmp_path: Path) -> None:
    raw = views(300)
    twin = raw[1:2].with_columns(pl.lit(1, dtype=pl.Int8).alias("bought"))
    assert raw["bought"][1] == 0
    events = ingest(
        write_log(tmp_path / "log", views=pl.concat([twin, raw, raw[:5]])), tmp_path / "events"
    )
    summary = read_json(events / "summary.json")
    assert summary["exact_repeats_dropped"]["interactions"] == 5
    assert summary["conflicts"]["interactions"] == 1
    rows = table(events, "interactions")
    assert rows.height == 300
    assert rows["label_buy"].sum() == raw["bought"].sum() + 1


def test_interactions_that_became_one_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A log whose times are days: a user's plays of one song on one day are told apart no more."""
    raw = views(300)
    day = raw.with_columns(pl.col("at", "customer", "product").first())
    ingest(write_log(tmp_path / "log", views=pl.concat([raw, day])), tmp_path / "events")
    told = capsys.readouterr()
    kept = table(tmp_path / "events", "interactions").height
    assert kept < 310
    assert "interactions became 1: those of one request, user" in told.out + told.err


def test_a_log_most_of_which_would_vanish_is_refused_with_an_example(tmp_path: Path) -> None:
    """Times cut to days: a user's looks at one product on one day are told apart no more."""
    raw = views(600).with_columns((pl.col("customer") % 2).alias("customer"))
    days = raw.with_columns(pl.col("at").str.head(10), pl.col("product").str.head(2))
    definition = write_log(tmp_path / "log", views=days)
    with pytest.raises(DataError, match="rows repeat another row in every column") as caught:
        ingest(definition, tmp_path / "events")
    assert "user_id 0, item_id 'p0', event_time 2024-03-01T00:00:00.000Z" in caught.value.message
    assert "request_id" not in caught.value.message
    share = caught.value.hint.rsplit("repeats_at_most: ", 1)[1].rstrip(".")
    assert not (tmp_path / "events").exists()

    def allow(value: dict[str, Any]) -> None:
        value["repeats_at_most"] = float(share)

    allowed = write_log(tmp_path / "log2", views=days, change=allow)
    assert table(ingest(allowed, tmp_path / "events"), "interactions").height < 100


def test_a_fifth_may_be_merged_and_half_may_be_delivered_twice(tmp_path: Path) -> None:
    raw = views(300)
    twice = pl.concat([raw, raw])
    events = ingest(write_log(tmp_path / "log", views=twice), tmp_path / "events")
    assert table(events, "interactions").height == 300
    impressions = raw.with_columns(pl.lit(0, dtype=pl.Int8).alias("bought"))
    clicks = raw.with_columns(pl.lit(1, dtype=pl.Int8).alias("bought"))
    fits = pl.concat([impressions, clicks[:75]])
    events = ingest(write_log(tmp_path / "log1", views=fits), tmp_path / "events")
    assert table(events, "interactions")["label_buy"].sum() == 75
    many = write_log(tmp_path / "log2", views=pl.concat([impressions, clicks[:76]]))
    with pytest.raises(DataError, match=r"20\.2% of 376 rows would be merged .* at most 20% may"):
        ingest(many, tmp_path / "events")


rows_of = st.lists(
    st.tuples(
        st.integers(0, 2), st.integers(0, 2), st.integers(0, 1), st.sampled_from(["", "a", "b"])
    ),
    min_size=1,
    max_size=30,
)


@given(rows=rows_of)
def test_one_row_a_key_equals_the_obvious_loop(rows: list[tuple[int, int, int, str]]) -> None:
    frame = pl.DataFrame(rows, schema=["user", "time", "label", "tab"], orient="row")
    counts = Repeats()
    found = one_row_a_key(frame, ["user", "time"], ["label"], counts)

    groups: dict[tuple[int, int], set[tuple[int, int, int, str]]] = {}
    for row in rows:
        groups.setdefault(row[:2], set()).add(row)
    expected = sorted(
        (
            *key,
            max(r[2] for r in group),
            min((r for r in group if r[3]), default=min(group))[3],  # a missing text is none
        )
        for key, group in groups.items()
    )
    assert sorted(found.rows()) == expected
    assert counts.exact == len(rows) - len(set(rows))
    assert counts.conflicts == sum(len(group) > 1 for group in groups.values())


def test_what_one_of_the_merged_rows_says_is_kept() -> None:
    """An impression says device and price, its click says neither."""
    shown = {"user": 1, "label": 0, "tab": 3, "device": "phone", "price": 9.5, "made": 7}
    click = {
        "user": 1,
        "label": 1,
        "tab": MISSING_INT,
        "device": "",
        "price": math.nan,
        "made": None,
    }
    found = one_row_a_key(pl.DataFrame([click, shown]), ["user"], ["label"], Repeats())
    assert found.to_dicts() == [{**shown, "label": 1}]


def test_spill_returns_every_row_by_day(tmp_path: Path) -> None:
    spill = DaySpill(tmp_path / "spill", buffer_rows=10)
    times = [day * 86_400_000 + i for i in range(25) for day in (3, 1)]
    for time in times:
        spill.add(pl.DataFrame({"event_time": [time]}))
    days = {day: rows["event_time"].to_list() for day, rows in spill.days()}
    assert list(days) == ["1970-01-02", "1970-01-04"]
    assert sorted(t for rows in days.values() for t in rows) == sorted(times)


def _history(value: dict[str, Any]) -> None:
    value["behaviors"] = [
        {
            "paths": ["history.parquet"],
            "explode": ["seen"],
            "columns": {"user_id": "customer", "item_id": "seen", "event_time": "before"},
            "constants": {"action": "view"},
            "exact_time": False,
        }
    ]


def test_histories_without_times_keep_their_order(tmp_path: Path) -> None:
    definition = write_log(tmp_path / "log", change=_history)
    before = datetime(2024, 2, 28)
    pl.DataFrame(
        {"customer": [0, 1, 2], "before": [before] * 3, "seen": [["p9", "p2", "p9"], [], None]},
        schema_overrides={"seen": pl.List(pl.String)},
    ).write_parquet(tmp_path / "log" / "history.parquet")
    behaviors = table(ingest(definition, tmp_path / "events"), "behaviors")
    prior = behaviors.filter(~pl.col("time_exact"))
    assert prior.select("item_id", "position").rows() == [("p9", 0), ("p2", 1), ("p9", 2)]
    assert behaviors.filter("time_exact")["position"].unique().to_list() == [0]


def test_events_that_two_histories_repeat_count_once(tmp_path: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        _history(value)
        source = value["behaviors"][0]
        source |= {"exact_time": True, "explode": ["seen", "before"], "paths": ["h*.parquet"]}

    definition = write_log(tmp_path / "log", change=change)
    times = [datetime(2024, 2, day) for day in (1, 2, 3)]
    for name, keep in {"h1": slice(0, 2), "h2": slice(1, 3)}.items():
        frame = {"customer": [0], "before": [times[keep]], "seen": [["p1", "p2", "p3"][keep]]}
        pl.DataFrame(frame).write_parquet(tmp_path / "log" / f"{name}.parquet")
    events = ingest(definition, tmp_path / "events")
    prior = table(events, "behaviors").filter(pl.col("event_time").dt.month() == 2)
    assert prior["item_id"].to_list() == ["p1", "p2", "p3"]
    assert read_json(events / "summary.json")["exact_repeats_dropped"]["behaviors"] == 1


def test_several_item_sources_become_one_table(tmp_path: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        value["items"][0]["columns"].pop("price")
        value["items"].append(
            {
                "paths": ["prices.csv"],
                "columns": {"item_id": "product", "price": "price", "valid_from": "since"},
            }
        )

    definition = write_log(tmp_path / "log", change=change)
    (tmp_path / "log" / "prices.csv").write_text(
        "product,price,since\np1,5,2024-03-01\np1,6,2024-03-02\np99,7,2024-03-01\n"
    )
    items = table(ingest(definition, tmp_path / "events"), "items")
    p1 = items.filter(pl.col("item_id") == "p1").sort("valid_from")
    assert p1["brand"].to_list() == ["b1"] * 3
    assert p1["price"].fill_nan(None).to_list() == [None, 5.0, 6.0]
    p99 = items.filter(pl.col("item_id") == "p99")
    assert p99.select("brand", "price").rows() == [("", 7.0)]
    assert items.height == 30 + 2 + 1


@pytest.mark.slow
def test_shared_news_log_joins_and_explodes(shared_data: Path, tmp_path: Path) -> None:
    definition = DatasetDefinition.load("ebnerd", {"root": str(shared_data / "ebnerd_demo")})
    summary = read_json(ingest(definition, tmp_path / "events") / "summary.json")
    assert summary["rows"]["interactions"] == 583_054
    assert summary["label_rates"]["click"] == pytest.approx(0.086, abs=0.001)
    assert summary["exact_repeats_dropped"]["behaviors"] > 100_000


def test_kuairand_slice(small_events: Path) -> None:
    summary = read_json(small_events / "summary.json")
    rows, read = summary["rows"]["interactions"], summary["rows_read"]["interactions"]
    dropped = summary["exact_repeats_dropped"]["interactions"]
    assert dropped > 0
    assert read - dropped - rows == summary["conflicts"]["interactions"]
    assert summary["behaviors_with_inexact_time"] == summary["rows_read"]["behaviors"]
    items = table(small_events, "items")
    assert items["created_at"].null_count() == 0
    assert (items["music_type"] == MISSING_INT).sum() > 0


def test_integer_and_text_ids_of_two_files_agree_on_text(tmp_path: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        value["items"].append({"paths": ["more.parquet"], "columns": {"item_id": "product"}})

    definition = write_log(tmp_path / "log", views=views(60), change=change)
    pq.write_table(pa.table({"product": pa.array([501, 502])}), tmp_path / "log" / "more.parquet")
    items = table(ingest(definition, tmp_path / "events"), "items")
    assert {"501", "502"} <= set(items["item_id"])
    assert items.height == products().height + 2


def test_ids_that_look_alike_are_counted(tmp_path: Path) -> None:
    texts = ["Ana", "ana", "ana ", "007", "7", "caf\u00e9", "cafe\u0301", "bob", "0"]
    raw = views(90).with_columns(customer=pl.Series(texts * 10))
    definition = write_log(tmp_path / "log", views=raw)
    step.run(definition=definition, out_events=tmp_path / "events")
    found = read_json(tmp_path / "events" / "summary.json")
    assert found["users"] == len(texts)
    assert found["look_alikes"] == {"user_id": 4, "item_id": 0}
