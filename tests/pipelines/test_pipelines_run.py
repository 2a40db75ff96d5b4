"""Pipelines beside training, run for real through kfp.local on the small log."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from hemix.components.plan.naming import without_split
from hemix.errors import GateFailed
from hemix.features.definition import DatasetDefinition
from hemix.features.sources.tables import fingerprint
from hemix.files import sha256_folder
from hemix.pipelines.definitions.retraining import retraining
from hemix.pipelines.local.execution import LocalRun
from tests.pipelines.test_local import Notes

pytestmark = pytest.mark.slow


def _run(root: Path, pipeline: object, **arguments: object) -> Notes:
    notes = Notes()
    local = LocalRun(root=root, logs=root / "logs", observer=notes)
    local.run(pipeline, arguments)  # type: ignore[arg-type]
    return notes


def test_a_backfill_writes_each_day_and_again_the_same_bytes(
    tmp_path: Path,
    small_definition: DatasetDefinition,
    small_examples: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from hemix.pipelines.definitions import backfill as module

    # kfp.local replaces builtins.print while a task runs, and loses it when two run at once.
    monkeypatch.setattr(module, "PARALLELISM", 1)
    backfill = module.backfill
    destination = tmp_path / "examples"
    arguments = {
        "definition": without_split(small_definition).to_json(),
        "source_fingerprint": fingerprint(small_definition),
        "revision": "test",
        "first": "2022-04-25",
        "last": "2022-04-26",
        "destination": str(destination),
    }
    first = _run(tmp_path, backfill, **arguments)
    assert Counter(result.name.rstrip("_0123456789") for result in first.results) == {
        "ingest": 1,
        "days": 1,
        "backfill": 2,
    }
    days = [f"day=2022-04-{day}" for day in (25, 26)]
    assert sorted(path.name for path in destination.glob("day=*")) == days
    for day in days:
        made = {p.name: p.read_bytes() for p in (destination / day).glob("*.parquet")}
        assert made == {p.name: p.read_bytes() for p in (small_examples / day).glob("*.parquet")}
    before = sha256_folder(destination)

    again = _run(tmp_path, backfill, **arguments)
    partitions = [r for r in again.results if r.name.startswith("backfill")]
    assert len(partitions) == 2
    assert not any(result.cached for result in partitions)
    outcomes = [json.loads(Path(r.artifacts["partition"]).read_text()) for r in partitions]
    assert {told["outcome"] for told in outcomes} == {"unchanged"}
    assert sha256_folder(destination) == before


def test_retraining_outside_of_the_log_is_stopped_by_the_gate_of_the_nested_training(
    tmp_path: Path, small_definition: DatasetDefinition
) -> None:
    notes = Notes()
    local = LocalRun(root=tmp_path, logs=tmp_path / "logs", observer=notes)
    with pytest.raises(GateFailed, match="Gate validate_data failed"):
        local.run(
            retraining,
            {
                "definition": small_definition.to_json(),
                "registry": str(tmp_path / "registry"),
                "feature_store": str(tmp_path / "feature_store"),
                "checkpoints": str(tmp_path / "checkpoints"),
                "scheduled_time": "20300101020000",
                "recipe": "tiny",
            },
        )
    assert [(result.name, result.succeeded) for result in notes.results] == [
        ("plan", True),
        ("ingest", True),
        ("validate_data", True),
        ("stop", False),
    ]
    assert not (tmp_path / "registry").exists()


def test_an_experiment_whose_logs_are_lost_fails_the_run_and_keeps_its_page(tmp_path: Path) -> None:
    from hemix.pipelines.definitions.experiment import experiment
    from tests.serving.experiments.logged import World

    World(users=300, lift=0.0).write(tmp_path)
    outcomes = tmp_path / "outcomes" / "part-0.jsonl"
    lines = [json.loads(line) for line in outcomes.read_text().splitlines()]
    strangers = [json.dumps({**line, "request_id": f"x{line['request_id']}"}) for line in lines]
    outcomes.write_text("\n".join(strangers))
    notes = Notes()
    run = LocalRun(root=tmp_path / "run", logs=tmp_path / "logs", observer=notes)
    places = {name: str(tmp_path / name) for name in ("exposures", "outcomes", "registry")}
    with pytest.raises(GateFailed, match="experiment failed: logs_can_be_judged_by: 0"):
        run.run(experiment, places)
    assert [(r.name, r.succeeded) for r in notes.results] == [("experiment", True), ("stop", False)]
    decided = notes.results[0].artifacts
    assert json.loads(Path(decided["decision"]).read_text())["decision"]["verdict"] == "unusable"
    assert "request_id" in Path(decided["page"]).read_text()
