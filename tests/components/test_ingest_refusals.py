"""Ingest: bad logs and full disks are refused by name, and nothing is left or lost."""

from __future__ import annotations

import gzip
import os
import subprocess
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hemix.errors import DataError, HemixError, StorageError
from hemix.files import sha256_folder
from tests.components.test_ingest import ingest
from tests.logs import views, write_log


def _set(path: str, new: object) -> Any:
    def change(value: dict[str, Any]) -> None:
        here: Any = value
        *parents, last = path.split(".")
        for parent in parents:
            here = here[int(parent)] if parent.isdigit() else here[parent]
        here[last] = new

    return change


def _column(name: str, values: object) -> pl.DataFrame:
    return views(60).with_columns(values.alias(name) if isinstance(values, pl.Expr) else values)


BAD_COLUMNS = {
    "text time": ("at", pl.lit("yesterday"), r"columns\.event_time.*'at'.*'yesterday'.*not a time"),
    "no time": ("at", pl.lit(None, pl.String), r"columns\.event_time.*lacks a time in 60"),
    "epoch without unit": (
        "at",
        pl.lit(1709251200),
        r"event_time.*Set interactions\[0\]\.time_unit",
    ),
    "no user": ("customer", pl.lit(None, pl.Int64), r"columns\.user_id.*lacks an id in 60"),
    "text label": ("bought", pl.lit("maybe"), r"labels\.buy.*'maybe'.*not a 0/1 label"),
    "number label": ("bought", pl.lit(7), r"labels\.buy.*'7'.*not a 0/1 label"),
    "no label": ("bought", pl.lit(None, pl.Int8), r"labels\.buy.*not a 0/1 label"),
}


@pytest.mark.parametrize("case", BAD_COLUMNS)
def test_bad_values_are_named_and_nothing_is_left(tmp_path: Path, case: str) -> None:
    name, values, message = BAD_COLUMNS[case]
    definition = write_log(tmp_path / "log", views=_column(name, values))
    with pytest.raises(DataError, match=message) as caught:
        ingest(definition, tmp_path / "out" / "events")
    assert "views.csv" in str(caught.value)
    assert not list((tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else True


BAD_DEFINITIONS = {
    "misnamed column": (
        "interactions.0.columns.device",
        "devise",
        r"device.*'devise'; did you mean 'device'. It has: at,",
    ),
    "misnamed label": ("interactions.0.labels.buy.column", "buys", r"labels\.buy.*'buys'"),
    "no file": ("items.0.paths", ["nosuch-*.parquet"], r"items\[0\]\.paths: no file matches"),
    "wrong format": ("interactions.0.format", "parquet", r"views\.csv.*not parquet"),
    "not a list": ("interactions.0.explode", ["product"], r"explode.*'product'.*not lists"),
    "no list label": ("interactions.0.labels.buy.contains_item", True, r"labels\.buy.*not lists"),
    "wrong unit": ("items.0.columns.valid_from", "price", r"items\[0\].*valid_from.*time_unit"),
    "text number": ("items.0.columns.price", "brand", r"items\[0\].*price.*'b0'.*not a number"),
    "fraction as category": (
        "items.0.columns.brand",
        "price",
        r"items\[0\].*brand.*0\.5.*not a whole number",
    ),
}


@pytest.mark.parametrize("case", BAD_DEFINITIONS)
def test_definitions_that_do_not_fit_the_files(tmp_path: Path, case: str) -> None:
    path, new, message = BAD_DEFINITIONS[case]
    definition = write_log(tmp_path / "log", views=views(60), change=_set(path, new))
    with pytest.raises(HemixError, match=message):
        ingest(definition, tmp_path / "out" / "events")
    assert not list((tmp_path / "out").iterdir()) if (tmp_path / "out").exists() else True


@pytest.mark.parametrize("keep", [4, 0.5, 0.99])
def test_truncated_parquet_is_named(tmp_path: Path, keep: float) -> None:
    definition = write_log(tmp_path / "log", views=views(60))
    file = tmp_path / "log" / "products.parquet"
    content = file.read_bytes()
    file.write_bytes(content[: int(keep if keep > 1 else len(content) * keep)])
    with pytest.raises(StorageError, match=r"products\.parquet is damaged, truncated"):
        ingest(definition, tmp_path / "events")
    assert not (tmp_path / "events").exists()


def test_truncated_gzip_is_named(tmp_path: Path) -> None:
    definition = write_log(tmp_path / "log", change=_set("interactions.0.paths", ["v.csv.gz"]))
    packed = gzip.compress((tmp_path / "log" / "views.csv").read_bytes())
    (tmp_path / "log" / "v.csv.gz").write_bytes(packed)
    ingest(definition, tmp_path / "events")
    (tmp_path / "log" / "v.csv.gz").write_bytes(packed[:-40])
    with pytest.raises(StorageError, match=r"v\.csv\.gz"):
        ingest(definition, tmp_path / "events2")


def test_empty_file_and_log_without_rows(tmp_path: Path) -> None:
    definition = write_log(tmp_path / "log", views=views(60).head(0))
    with pytest.raises(DataError, match="interactions: the files hold no rows"):
        ingest(definition, tmp_path / "events")
    (tmp_path / "log" / "views.csv").write_bytes(b"")
    with pytest.raises(DataError, match=r"views\.csv is empty"):
        ingest(definition, tmp_path / "events")


def test_full_disk_leaves_nothing(tmp_path: Path) -> None:
    definition = write_log(tmp_path / "log", views=views(20_000))
    small = tmp_path / "small"
    small.mkdir()
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small file system")
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        with pytest.raises(StorageError, match="disk is full"):
            ingest(definition, small / "events")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def test_failed_run_keeps_the_earlier_events(tmp_path: Path) -> None:
    events = ingest(write_log(tmp_path / "log", views=views(60)), tmp_path / "events")
    before = sha256_folder(events)
    definition = write_log(tmp_path / "log", views=_column("at", pl.lit("never")))
    with pytest.raises(DataError):
        ingest(definition, events)
    assert sha256_folder(events) == before


def test_a_sample_stands_for_nothing(tmp_path: Path) -> None:
    """Thousands of whole numbers, then a fraction; a column that is empty until the last row."""

    def change(value: dict[str, Any]) -> None:
        value["interactions"][0]["columns"] |= {"dwell": "dwell", "bid": "bid"}
        value["numeric"] += [{"name": "dwell"}, {"name": "bid"}]

    rows = views(3000)
    last = pl.int_range(pl.len()) == 2999
    rows = rows.with_columns(
        pl.when(last).then(pl.lit("0.5")).otherwise(pl.lit("0")).alias("dwell"),
        pl.when(last).then(pl.lit("7")).otherwise(pl.lit(None)).alias("bid"),
    )
    events = ingest(write_log(tmp_path / "log", views=rows, change=change), tmp_path / "events")
    files = sorted((events / "interactions").rglob("*.parquet"))
    found = pl.read_parquet(files, hive_partitioning=False)
    assert found.filter(pl.col("bid").is_not_nan())["dwell"].to_list() == [0.5]
    broken = rows.with_columns(pl.when(last).then(pl.lit("n/a")).otherwise("dwell").alias("dwell"))
    with pytest.raises(
        DataError, match=r"views\.csv.*row 3000, holds 'n/a', which is not a number"
    ):
        ingest(write_log(tmp_path / "other", views=broken, change=change), tmp_path / "none")
