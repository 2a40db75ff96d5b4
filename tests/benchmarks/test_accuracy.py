"""The accuracy benchmark: what it reads, keeps and sums up."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.accuracy import artifacts_of, one, summary
from hemix.files import write_json
from tests.small import SmallRun


def run_of(auc: float) -> dict[str, object]:
    return {
        "test": {"click": {"auc": auc, "gauc": 0.6, "logloss": 0.5}},
        "validation": {"validation_click_auc": auc},
        "parameters": {"dense": 3, "embedding": 4},
        "flops_per_sample": 10,
        "seconds": 2.0,
    }


def test_mean_and_deviation_over_seeds() -> None:
    row = summary([run_of(0.70), run_of(0.72), run_of(0.74)])
    assert row["seeds"] == 3
    assert row["test"]["click"]["auc"] == {"mean": 0.72, "deviation": 0.02}
    assert row["validation"] == {"validation_click_auc": 0.72}


def test_artifacts_come_from_the_record(tmp_path: Path) -> None:
    step = {"name": "transform", "artifacts": {"transformed": "/a", "transform_graph": "/b"}}
    write_json(tmp_path / "run.json", {"steps": [{"name": "ingest", "artifacts": {}}, step]})
    assert artifacts_of(tmp_path) == (Path("/a"), Path("/b"))


@pytest.mark.slow
def test_a_finished_training_is_not_done_again(small_run: SmallRun, tmp_path: Path) -> None:
    data = (small_run.transformed, small_run.transform)
    first = one(recipe="din", seed=1, overrides={}, data=data, folder=tmp_path)
    assert 0.5 < first["test"]["click"]["auc"] < 1
    assert first["parameters"]["dense"] > 0
    (kept,) = tmp_path.glob("din-1-*.json")
    before = kept.stat().st_mtime_ns
    assert one(recipe="din", seed=1, overrides={}, data=data, folder=tmp_path) == first
    assert kept.stat().st_mtime_ns == before
