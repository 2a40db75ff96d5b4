"""Where the files of a source are found: folders, globs, names of folders, object stores."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hemix.errors import DataError, EnvironmentProblem
from hemix.features.definition import DatasetDefinition
from hemix.features.sources.column_types import infer_types
from hemix.features.sources.tables import (
    fingerprint,
    read_dimension,
    read_interactions,
)
from tests.logs import products, views, write_log
from tests.object_store import object_store


def rows_of(definition: DatasetDefinition) -> pl.DataFrame:
    types = infer_types(definition)
    return pl.concat(list(read_interactions(definition, types))).sort("event_time", "item_id")


def paths(*names: str, **more: object) -> Any:
    def change(value: dict[str, Any]) -> None:
        value["interactions"][0] |= {"paths": list(names), **more}

    return change


def _pieces(folder: Path) -> pl.DataFrame:
    raw = views(90)
    (folder / "parts" / "deep").mkdir(parents=True)
    raw[:30].write_csv(folder / "parts" / "a.csv")
    raw[30:60].write_parquet(folder / "parts" / "deep" / "b.parquet")
    raw[60:].write_csv(folder / "parts" / "c.tsv", separator="\t")
    (folder / "parts" / "_SUCCESS").write_text("")
    (folder / "parts" / ".hidden.csv").write_text("x")
    return raw


@pytest.mark.parametrize(
    "names",
    [
        ["parts"],
        ["parts/*.?sv", "parts/**/*.parquet"],
        ["parts/c.tsv", "parts/a.csv", "parts/deep", "parts/a.csv"],
    ],
)
def test_files_folders_and_globs(tmp_path: Path, names: list[str]) -> None:
    expected = rows_of(write_log(tmp_path / "one", views=views(90)))
    definition = write_log(tmp_path / "many", change=paths(*names))
    _pieces(tmp_path / "many")
    assert rows_of(definition).equals(expected)


def test_folders_named_by_a_value_are_a_column(tmp_path: Path) -> None:
    raw = views(60)
    definition = write_log(tmp_path, change=paths("log"))
    for (device,), rows in raw.partition_by("device", as_dict=True, include_key=False).items():
        folder = tmp_path / "log" / f"device={device}"
        folder.mkdir(parents=True)
        rows.write_parquet(folder / "0.parquet")
    assert rows_of(definition).equals(rows_of(write_log(tmp_path / "one", views=raw)))


def test_a_files_own_column_goes_before_its_folders_name(tmp_path: Path) -> None:
    expected = rows_of(write_log(tmp_path / "one", views=views(60)))
    definition = write_log(tmp_path / "device=tv", views=views(60))
    assert rows_of(definition).equals(expected)


def test_unknown_scheme(tmp_path: Path) -> None:
    definition = write_log(tmp_path, change=paths("nosuch://x/y.csv"))
    with pytest.raises((DataError, EnvironmentProblem), match=r"interactions\[0\]\.paths: nosuch"):
        infer_types(definition)


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("stored")
    write_log(folder, views=views(120))
    views(120)[60:].write_parquet(folder / "late.parquet")
    views(120)[:60].write_csv(folder / "early.csv")
    objects = {
        f"logs/{name}": (folder / name).read_bytes()
        for name in ("late.parquet", "early.csv", "customers.csv", "products.parquet")
    }
    with object_store(objects) as address:
        yield address


@pytest.mark.parametrize("scheme", ["s3", "gs"])
def test_object_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stored: str, scheme: str
) -> None:
    for name in ("AWS_ENDPOINT_URL", "STORAGE_EMULATOR_HOST"):
        monkeypatch.setenv(name, stored)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "none")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    local = write_log(tmp_path, views=views(120))
    value = local.model_dump(mode="json")
    value["root"] = f"{scheme}://bucket/logs"
    value["interactions"][0]["paths"] = ["e*.csv", "late.parquet"]
    remote = DatasetDefinition.parse(value)
    assert infer_types(remote) == infer_types(local)
    assert rows_of(remote).equals(rows_of(local))
    ((_, items),) = read_dimension(remote, infer_types(remote), "items")
    assert items.height == products().height
    assert fingerprint(remote) == fingerprint(remote)
    value["items"][0]["paths"] = ["nothing-*.parquet"]
    with pytest.raises(DataError, match=r"items\[0\]\.paths: no file matches"):
        infer_types(DatasetDefinition.parse(value))


def test_fingerprint_follows_the_files(tmp_path: Path) -> None:
    definition = write_log(tmp_path)
    before = fingerprint(definition)
    assert fingerprint(definition) == before
    file = tmp_path / "views.csv"
    os.utime(file, (1, 1))
    touched = fingerprint(definition)
    assert touched != before
    file.write_text(file.read_text() + "1,p1,2024-03-03T00:00:00Z,web,0\n")
    os.utime(file, (1, 1))
    assert fingerprint(definition) not in (before, touched)
    file.unlink()
    with pytest.raises(DataError, match="no file matches"):
        fingerprint(definition)
