"""The monitoring pipeline through kfp.local; what it starts is started on the test's API server."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemix.files import read_json
from hemix.pipelines.definitions.monitoring import monitoring
from hemix.pipelines.kfp_client.connection import Connection
from hemix.pipelines.kfp_client.runs import submit
from hemix.pipelines.local.execution import LocalRun
from tests.components.test_monitor import POLICY, site, snapshot  # noqa: F401
from tests.kfp_server import KfpServer
from tests.pipelines.client.conftest import TOKEN
from tests.pipelines.test_local import Notes


@pytest.mark.slow
@pytest.mark.parametrize(("counts", "drifted"), [([61, 29, 10, 0], False), ([10, 29, 61, 0], True)])
def test_drift_starts_a_training_and_its_absence_none(
    counts: list[int],
    drifted: bool,
    site: Path,  # noqa: F811
    kfp: KfpServer,
    connection: Connection,
    small: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    submit("small", {"day": "before"}, connection=connection, compiled=small)
    kfp.advance(24 * 3600)
    monkeypatch.setenv("HEMIX_KFP_HOST", kfp.url)
    monkeypatch.setenv("HEMIX_KFP_TOKEN", TOKEN)
    snapshot(site, counts)
    notes = Notes()
    LocalRun(root=site / "run", logs=site / "logs", observer=notes).run(
        monitoring,
        {
            "exposures": str(site / "exposures"),
            "outcomes": str(site / "outcomes"),
            "registry": str(site / "registry"),
            "feature_store": str(site / "feature_store"),
            "policy": POLICY,
            "pipeline": "small",
            "parameters": {"day": "after", "steps": 5},
        },
    )
    assert [result.name for result in notes.results] == ["monitor", "trigger"][: 1 + drifted]
    assert len(kfp.runs) == 1 + drifted
    if drifted:
        told = read_json(Path(notes.results[1].artifacts["run"]))
        assert told["started"]
        assert "feature drift, PSI [v1: tab_index]" in told["why"][0]
        parameters = kfp.runs[told["run_id"]].body["runtime_config"]["parameters"]
        assert parameters == {"day": "after", "steps": 5}
