"""Backfill: days, partitions that are whole or absent, and the same bytes again."""

from __future__ import annotations

import json
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.components.backfill import step
from hemix.components.backfill.days import MOST, days_between
from hemix.errors import DefinitionError, StorageError
from hemix.features.definition import DatasetDefinition
from hemix.files import read_json, sha256_file, sha256_folder

DAY = "2022-04-26"


@given(first=st.dates(), count=st.integers(1, MOST))
def test_days_are_every_day_once_in_order(first: Any, count: int) -> None:
    last = first.toordinal() + count - 1
    if last > date.max.toordinal():
        return
    days = days_between(str(first), str(date.fromordinal(last)))
    assert days[0] == str(first)
    assert len(days) == count
    steps = {date.fromisoformat(b) - date.fromisoformat(a) for a, b in pairwise(days)}
    assert steps <= {timedelta(days=1)}


@pytest.mark.parametrize(
    ("first", "last", "told"),
    [
        ("2022-04-26", "2022-04-25", "before the first day"),
        ("26.4.2022", "2022-04-27", r"first day '26\.4\.2022'"),
        ("2022-04-26", "tomorrow", "last day 'tomorrow'"),
        ("2000-01-01", "2022-04-27", "one backfill takes"),
    ],
)
def test_ranges_that_are_none_are_refused(first: str, last: str, told: str) -> None:
    with pytest.raises(DefinitionError, match=told):
        days_between(first, last)


class Backfill:
    def __init__(self, root: Path, events: Path, definition: DatasetDefinition) -> None:
        self.root, self.events, self.definition = root, events, definition
        self.destination = root / "examples"

    def run(self, day: str = DAY, events: Path | None = None) -> dict[str, Any]:
        out = self.root / "partition.json"
        outcome = step.run(
            definition=self.definition,
            events=events or self.events,
            day=day,
            destination=str(self.destination),
            out_partition=out,
        )
        told: dict[str, Any] = read_json(out)
        assert told["outcome"] == outcome
        return told


@pytest.fixture
def backfill(tmp_path: Path, small_events: Path, small_definition: DatasetDefinition) -> Backfill:
    return Backfill(tmp_path, small_events, small_definition)


@pytest.mark.slow
def test_a_partition_again_is_the_same_bytes_and_equals_the_whole_build(
    backfill: Backfill, small_examples: Path
) -> None:
    first = backfill.run()
    folder = backfill.destination / f"day={DAY}"
    assert first["outcome"] == "written"
    assert first["location"] == str(folder)
    assert first["rows"] == read_json(small_examples / "summary.json")["days"][DAY]
    whole = {p.name: sha256_file(p) for p in (small_examples / f"day={DAY}").glob("*.parquet")}
    assert first["files"] == whole
    assert {p.name: sha256_file(p) for p in folder.glob("*.parquet")} == whole
    types = backfill.destination / "types.json"
    assert read_json(types) == read_json(small_examples / "types.json")

    before = sha256_folder(backfill.destination)
    stamps = {p: p.stat().st_mtime_ns for p in backfill.destination.rglob("*.parquet")}
    assert backfill.run()["outcome"] == "unchanged"
    assert sha256_folder(backfill.destination) == before
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps

    # A partition that lost a file is made whole again, with the same bytes.
    (folder / "summary.json").unlink()
    assert backfill.run()["outcome"] in ("written", "replaced")
    assert sha256_folder(backfill.destination) == before


def test_a_day_without_interactions_is_an_empty_partition(backfill: Backfill) -> None:
    told = backfill.run("2021-01-01")
    assert (told["rows"], told["files"], told["outcome"]) == (0, {}, "written")
    folder = backfill.destination / "day=2021-01-01"
    assert [path.name for path in folder.iterdir()] == ["summary.json"]
    assert backfill.run("2021-01-01")["outcome"] == "unchanged"


def test_partitions_of_other_types_are_not_mixed(backfill: Backfill) -> None:
    backfill.destination.mkdir()
    (backfill.destination / "types.json").write_text(json.dumps({"user_id": "string"}))
    with pytest.raises(StorageError, match="other column types"):
        backfill.run()
    assert [path.name for path in backfill.destination.iterdir()] == ["types.json"]


def test_a_day_that_is_none_writes_nothing(backfill: Backfill) -> None:
    with pytest.raises(DefinitionError, match="'yesterday'"):
        backfill.run("yesterday")
    assert not backfill.destination.exists()
