"""The data gate: passes on good events, and names table, column, value and threshold when not."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.components.ingest import step as ingest_step
from hemix.components.validate_data import step
from hemix.components.validate_data.frames import TABLES, add_facts, read_table, to_frame
from hemix.errors import GateFailed, StorageError
from hemix.features.definition import DatasetDefinition
from hemix.verdict import Check, Verdict
from tests.logs import views, write_log

pytestmark = pytest.mark.slow


def validate(definition: DatasetDefinition, events: Path, out: Path) -> Verdict:
    return step.run(
        definition=definition,
        events=events,
        out_verdict=out / "verdict.json",
        out_docs=out / "docs",
    )


def check(
    folder: Path, *, log: pl.DataFrame | None = None, change: Any = None
) -> dict[tuple[str, str], Check]:
    definition = write_log(folder / "log", views=log, change=change)
    ingest_step.run(definition=definition, out_events=folder / "events")
    verdict = validate(definition, folder / "events", folder)
    assert Verdict.read(folder / "verdict.json") == verdict
    return {(c.check, c.slice): c for c in verdict.failures}


def test_good_log_passes_and_has_pages(tmp_path: Path) -> None:
    assert check(tmp_path) == {}
    pages = {page.name for page in (tmp_path / "docs").iterdir()}
    assert {"index.html", "interactions.html", "interactions-train.html", "items.html"} <= pages
    for page in (tmp_path / "docs").iterdir():
        text = page.read_text()
        assert not re.search(r"https?://|<script|<link", text)
        for link in re.findall(r'href="([^"#]+)"', text):
            assert link in pages


def test_real_slice_passes(
    small_definition: DatasetDefinition,
    small_events: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    verdict = validate(small_definition, small_events, tmp_path)
    assert verdict.passed, verdict.failures
    names = [(c.check, c.slice) for c in verdict.checks]
    assert len(names) == len(set(names))
    told = capsys.readouterr()
    assert "users in the test split" not in told.out + told.err


def test_one_class_label_in_one_split(tmp_path: Path) -> None:
    test_day = pl.col("at") >= "2024-03-03"
    log = views().with_columns(
        pl.when(test_day).then(0).otherwise(pl.col("bought")).alias("bought")
    )
    failed = check(tmp_path, log=log)
    (found,) = failed.values()
    assert (found.check, found.slice) == (
        "interactions.label_buy column_mean_to_be_between",
        "test",
    )
    assert (found.value, found.threshold) == (0.0, (0.0, 1.0))
    with pytest.raises(GateFailed, match=r"label_buy.*\[test\]: 0\.0 must be between"):
        Verdict.read(tmp_path / "verdict.json").require()


def test_empty_split_and_too_few_rows(tmp_path: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        value["split"]["test"] = {"start": "2024-05-01", "end": "2024-05-02"}

    failed = check(tmp_path, change=change, log=views(90))
    rows = "interactions table_row_count_to_be_between"
    assert set(failed) == {(rows, "test"), (rows, "train"), (rows, "validation")}
    assert failed[rows, "test"].value == 0.0
    assert failed[rows, "train"].value == 54.0
    assert failed[rows, "train"].threshold == 100.0


def test_ids_that_the_dimensions_do_not_know(tmp_path: Path) -> None:
    log = views().with_columns(
        pl.when(pl.col("customer") < 15).then(pl.col("customer") + 900).otherwise("customer")
    )
    failed = check(tmp_path, log=log)
    found = failed["interactions.user_in_users column_mean_to_be_between", "all"]
    assert found.value == pytest.approx(0.25)
    assert found.threshold == (0.5, 1.0)


def test_windows_that_miss_the_log(tmp_path: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        value["split"] = {
            "train": {"start": "2025-03-01", "end": "2025-03-03"},
            "test": {"start": "2025-03-03", "end": "2025-03-04"},
        }

    failed = check(tmp_path, change=change)
    assert failed["interactions.in_a_split column_mean_to_be_between", "all"].value == 0.0


def test_times_in_the_future(tmp_path: Path) -> None:
    log = views().with_columns(
        pl.when(pl.int_range(pl.len()) == 5)
        .then(pl.lit("2099-01-01T00:00:00Z"))
        .otherwise("at")
        .alias("at")
    )
    failed = check(tmp_path, log=log)
    found = failed["interactions.event_time column_values_to_be_between", "all"]
    assert found.value == pytest.approx(599 / 600)
    assert "2099-01-01" in found.note


def test_column_without_a_value_and_negative_numbers(tmp_path: Path) -> None:
    def change(value: dict[str, Any]) -> None:
        value["items"][0]["paths"] = ["odd.parquet"]

    folder = tmp_path / "log"
    folder.mkdir()
    items = pl.DataFrame(
        {
            "product": [f"p{i}" for i in range(30)],
            "brand": pl.Series([None] * 30, dtype=pl.String),
            "price": [-1.0] * 10 + [1.0] * 20,
        }
    )
    items.write_parquet(folder / "odd.parquet")
    failed = check(tmp_path, change=change)
    assert {name for name, _ in failed} == {
        "items.brand column_values_to_not_be_null",
        "items.price column_values_to_be_between",
    }
    found = failed["items.price column_values_to_be_between", "all"]
    assert found.value == pytest.approx(2 / 3)
    assert "-1.0" in found.note


def _rewrite(events: Path, table: str, change: Any) -> None:
    for file in (events / table).rglob("*.parquet"):
        pq.write_table(change(pq.ParquetFile(file).read()), file)


@pytest.mark.parametrize(
    ("change", "note"),
    [
        (lambda t: t.drop_columns(["brand"]), "items.brand: string"),
        (lambda t: t.set_column(1, "brand", pa.array([1] * t.num_rows)), "items.brand: int64"),
        (lambda t: t.append_column("extra", pa.array([1] * t.num_rows)), "items.extra: absent"),
    ],
)
def test_schema_of_the_events(tmp_path: Path, change: Any, note: str) -> None:
    definition = write_log(tmp_path / "log")
    ingest_step.run(definition=definition, out_events=tmp_path / "events")
    _rewrite(tmp_path / "events", "items", change)
    verdict = validate(definition, tmp_path / "events", tmp_path)
    found = verdict.failures[0]
    assert found.check == "schema.expected column_pair_values_to_be_equal"
    assert note in found.note


def test_repeated_keys(tmp_path: Path) -> None:
    definition = write_log(tmp_path / "log")
    ingest_step.run(definition=definition, out_events=tmp_path / "events")
    _rewrite(tmp_path / "events", "users", lambda t: pa.concat_tables([t, t.slice(0, 1)]))
    (found,) = validate(definition, tmp_path / "events", tmp_path).failures
    assert found.check == "users.user_id+valid_from compound_columns_to_be_unique"


def test_truncated_events_are_named(tmp_path: Path) -> None:
    definition = write_log(tmp_path / "log")
    ingest_step.run(definition=definition, out_events=tmp_path / "events")
    file = tmp_path / "events" / "items" / "part-0.parquet"
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(StorageError, match=r"items/part-0\.parquet is damaged or truncated"):
        validate(definition, tmp_path / "events", tmp_path)
    shutil.rmtree(file.parent)
    with pytest.raises(StorageError, match="items holds no Parquet file"):
        validate(definition, tmp_path / "events", tmp_path)
    assert not (tmp_path / "verdict.json").exists()


def test_behaviours_that_all_come_after_the_log_stop_the_run(tmp_path: Path) -> None:
    """So do those that become known too late; of a week before it they are fine."""
    shares = {}
    for hours in (-24 * 7, 0, 24 * 4):
        folder = tmp_path / str(hours)
        definition = with_behaviors_at(folder, hours)
        ingest_step.run(definition=definition, out_events=folder / "events")
        frames = {name: to_frame(read_table(folder / "events", name)) for name in TABLES}
        facts = add_facts(frames, definition)["interactions"]
        assert facts["user_has_behaviors"].mean() == 1
        shares[hours] = facts["user_had_behaviors"].mean()
    # At once: each of 20 customers has looked once in the first 20 of 600 rows, and waits half an hour.
    assert shares == {-24 * 7: 1.0, 0: pytest.approx(580 / 600), 24 * 4: 0.0}
    verdict = validate(definition, folder / "events", folder)
    (failed,) = verdict.failures
    assert failed.check == "interactions.user_had_behaviors column_mean_to_be_between"
    assert (failed.value, failed.threshold) == (0.0, (0.01, 1.0))


def with_behaviors_at(folder: Path, hours: int) -> DatasetDefinition:
    """The shop's log, and its looks once more as behaviours of that many hours later."""

    def change(value: dict[str, Any]) -> None:
        value.pop("derived_behaviors")
        columns = {"user_id": "customer", "item_id": "product", "event_time": "at"}
        value["behaviors"] = [
            {"paths": ["later.csv"], "columns": columns, "constants": {"action": "read"}}
        ]
        value["sequences"] = {**value["sequences"], "availability_delay": "30m"}

    later = views().with_columns(
        (pl.col("at").str.to_datetime("%Y-%m-%dT%H:%M:%SZ") + pl.duration(hours=hours))
        .dt.to_string("%Y-%m-%dT%H:%M:%SZ")
        .alias("at")
    )
    (folder / "log").mkdir(parents=True)
    later.write_csv(folder / "log" / "later.csv")
    return write_log(folder / "log", change=change)


def test_too_few_test_users_are_told_before_the_long_steps(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(tmp_path / "few") == {}
    told = capsys.readouterr()
    assert "20 users in the test split" in told.out + told.err
