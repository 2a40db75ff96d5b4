"""A verdict that failed starts a pipeline, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hemix.errors import HemixError
from hemix.files import read_json
from hemix.pipelines.kfp_client.connection import Connection
from hemix.pipelines.kfp_client.runs import submit
from hemix.pipelines.trigger.step import start
from hemix.verdict import Check, Verdict
from tests.kfp_server import KfpServer

pytestmark = pytest.mark.usefixtures("no_waits")


def _start(folder: Path, connection: Connection, value: float) -> dict[str, Any]:
    check = Check.of("psi", value, 0.2, "at_most", slice="author_id")
    Verdict.of("monitor", [check]).write(folder / "verdict.json")
    start(
        pipeline="small",
        parameters={"day": "2022-05-01", "steps": 4.0},
        verdict=folder / "verdict.json",
        out_run=folder / "run.json",
        service_account="hemix-deployer",
        root="s3://ranker/hemix/pipeline",
        connection=connection,
    )
    told: dict[str, Any] = read_json(folder / "run.json")
    return told


def test_a_failed_verdict_starts_a_run_and_no_second_beside_it(
    tmp_path: Path, kfp: KfpServer, connection: Connection, small: str
) -> None:
    submit("small", {"day": "a"}, connection=connection, compiled=small)
    kfp.advance(24 * 3600)
    assert not any(run.active for run in kfp.runs.values())
    first = _start(tmp_path, connection, 0.5)
    assert first["started"]
    parameters = kfp.runs[first["run_id"]].body["runtime_config"]["parameters"]
    assert parameters == {"day": "2022-05-01", "steps": 4}
    assert isinstance(parameters["steps"], int)
    started = kfp.runs[first["run_id"]].body
    assert started["service_account"] == "hemix-deployer"
    assert started["runtime_config"]["pipeline_root"] == "s3://ranker/hemix/pipeline"
    assert first["why"] == ["psi [author_id]: 0.5 must be at most 0.2"]
    again = _start(tmp_path, connection, 0.6)
    assert again["run_id"] == first["run_id"]
    assert not again["started"]
    assert len(kfp.runs) == 2


def test_a_passed_verdict_starts_nothing(
    tmp_path: Path, kfp: KfpServer, connection: Connection
) -> None:
    told = _start(tmp_path, connection, 0.1)
    assert told == {"run_id": None, "page": None, "started": False, "why": []}
    assert kfp.calls == []


def test_a_pipeline_that_was_never_uploaded_is_named(
    tmp_path: Path, kfp: KfpServer, connection: Connection
) -> None:
    with pytest.raises(HemixError, match="small"):
        _start(tmp_path, connection, 0.5)
    assert not (tmp_path / "run.json").exists()
    assert kfp.writes() == []
