"""The whole main job on a small slice of the real log, as a user starts it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hemix.components.steps import STEPS
from hemix.pipelines.local.record import RunRecord
from tests.small import write_narrow

pytestmark = pytest.mark.slow

# What a small slice on any machine can hold; the shipped policy is for real data and quiet machines.
EASY = {
    "floors": {"auc": 0.5},
    "bands": {"pcoc": [0.5, 2.0]},
    "popularity": {},
    "rule": {},
    "latency": {"candidates": 20, "requests": 10, "p99_ms": 600_000},
}


class Job:
    def __init__(self, folder: Path) -> None:
        self.out = folder / "out"
        self.definition = write_narrow(folder)
        self.folder = folder

    def run(self, policy: dict[str, Any]) -> tuple[int, str, RunRecord]:
        (self.folder / "policy.yaml").write_text(yaml.safe_dump(policy))
        done = subprocess.run(
            [
                *(sys.executable, "-m", "hemix", "run", "--output", str(self.out)),
                *("--policy", str(self.folder / "policy.yaml")),
                *("--definition", str(self.definition), "--set", "training.epochs=1"),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "HEMIX_DEBUG": ""},
            check=False,
        )
        return done.returncode, done.stdout, RunRecord.read(self.out / "run.json")


@pytest.mark.timeout(1200)
def test_from_the_log_to_a_deployed_version(tmp_path: Path) -> None:
    job = Job(tmp_path)

    code, told, first = job.run(EASY)
    assert code == 0, told
    assert [(s.name, s.status, s.cached) for s in first.steps] == [
        (name, "succeeded", False) for name in STEPS
    ]
    assert all(Path(path).exists() for step in first.steps for path in step.artifacts.values())
    assert first.status == "succeeded"
    assert first.baseline is None
    assert [verdict.passed for verdict in first.verdicts] == [True] * 4
    assert first.metrics["models"]
    assert first.packages["kfp"]
    state = json.loads((job.out / "registry" / "state.json").read_text())
    assert state["champion"] == first.version
    page = (job.out / "report.html").read_text()
    assert first.version in page
    assert page == (job.out / "reports" / f"{first.version}.html").read_text()
    assert f"Version {first.version}" in told
    assert list((job.out / "checkpoints" / first.version).rglob("*.safetensors")) == []

    # A policy that no model meets: the gate runs again, all before it is cached, nothing follows.
    code, told, failed = job.run({**EASY, "floors": {"auc": 0.999}})
    assert code == 4, told
    assert failed.status == "gate_failed"
    assert failed.version == first.version
    assert {s.name for s in failed.steps if s.status == "skipped"} == {"deploy", "report"}
    assert [s.name for s in failed.steps if s.status == "succeeded" and not s.cached] == [
        "validate_model"
    ]
    before = STEPS[: STEPS.index("validate_model")]
    assert [(s.name, s.cached) for s in failed.steps[: len(before)]] == [(n, True) for n in before]
    made = {step.name: step.artifacts for step in first.steps}
    assert all(s.artifacts == made[s.name] for s in failed.steps[: len(before)])
    last = told.strip().splitlines()[-2:]
    assert "Gate validate_model failed" in last[0]
    assert "auc" in last[0]
    assert "must be at least 0.999" in last[0]
    assert last[1] == "Nothing live was changed."
    assert "0.999" in failed.message
    assert json.loads((job.out / "registry" / "state.json").read_text()) == state
    assert "0.999" in (job.out / "report.html").read_text()
