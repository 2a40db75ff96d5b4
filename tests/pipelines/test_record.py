"""A run's record finds its artifacts where the run's folder now is."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord, StepRecord


def made(root: Path) -> RunFolder:
    folder = RunFolder.at(root)
    model = root / "artifacts" / "training-1" / "train" / "model"
    model.mkdir(parents=True)
    record = RunRecord(
        version="v1",
        status="succeeded",
        started="2026-01-01T00:00:00+00:00",
        parameters={},
        steps=[
            StepRecord(name="train", artifacts={"model": str(model)}),
            StepRecord(name="deploy", artifacts={"kept": "s3://bucket/artifacts/elsewhere"}),
        ],
    )
    record.write(folder.record_of("v1"), folder.record)
    return folder


@pytest.mark.parametrize("move", [shutil.move, shutil.copytree])
def test_a_run_that_was_moved_or_copied_has_its_own_artifacts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, move: Callable[[Path, Path], object]
) -> None:
    made(tmp_path / "runs" / "first")
    moved = tmp_path / "runs" / "a second place"
    move(tmp_path / "runs" / "first", moved)
    folder = RunFolder.at(moved)
    monkeypatch.chdir(tmp_path)
    for place in (folder.record, folder.record_of("v1"), moved.relative_to(tmp_path) / "run.json"):
        record = RunRecord.read(place)
        assert record.artifact("train", "model") == moved / "artifacts/training-1/train/model"
        assert record.location("deploy", "kept") == "s3://bucket/artifacts/elsewhere"


def test_a_record_alone_still_names_where_they_were_made(tmp_path: Path) -> None:
    folder = made(tmp_path / "run")
    shutil.copy(folder.record, tmp_path / "alone.json")
    found = RunRecord.read(tmp_path / "alone.json").location("train", "model")
    assert found == str(tmp_path / "run/artifacts/training-1/train/model")
