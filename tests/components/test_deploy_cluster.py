"""The deploy step with a cluster: real models, a real API server for custom resources."""
# ruff: noqa: F811 (fixtures are parameters of the names that they are imported by)

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hemix.components.deploy.step import run
from hemix.errors import DefinitionError, RegistryError
from hemix.serving.kubernetes.errors import ClusterError, DeploymentFailed
from hemix.serving.registry.registry import FolderRegistry
from tests.serving.kubernetes.conftest import (  # noqa: F401
    FAST,
    Site,
    api_server,
    cluster,
    controller,
    kubeconfig,
    namespace,
    proxy,
    site,
)
from tests.serving.live import Workshop

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

STORAGE = {
    "models": "s3://models/registry",
    "features": "s3://models/features",
    "exposures": "s3://logs/exposures",
}


@pytest.fixture
def step(
    workshop: Workshop,
    site: Site,
    kubeconfig: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """Runs the step as on a cluster; returns deployment.json."""
    from kubernetes.config import kube_config

    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(kubeconfig))

    def deploy(
        version: str,
        *,
        share: float = 0.1,
        running: str = "replace",
        champion: str | None = None,
        **settings: Any,
    ) -> dict[str, Any]:
        values = {"namespace": site.namespace, "storage": STORAGE, **settings}
        values["timeouts"] = {**FAST, **settings.get("timeouts", {})}
        out = tmp_path / f"deployment-{version}.json"
        run(
            model=workshop.model(version),
            verdict=workshop.root / "passed.json",
            repository=workshop.root / "repository",
            registry=tmp_path / "registry",
            feature_store=tmp_path / "feature_store",
            share=share,
            running=running,
            cluster=json.dumps(values),
            champion=champion,
            out_deployment=out,
        )
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    return deploy


def test_champion_then_challenger_then_one_that_fails(
    step: Any,
    site: Site,
    tmp_path: Path,
) -> None:
    registry = FolderRegistry(tmp_path / "registry")
    assert step("v1")["state"] == "champion"
    assert site.shares() == {"v1": 1.0}
    assert step("v2")["state"] == "challenger"
    assert site.shares() == {"v1": 0.9, "v2": 0.1}
    verdicts = [event.verdict for event in registry.state().history]
    assert verdicts[-1] == "validate_model: 1 of 1 checks passed"

    other = f"{tmp_path}/registry/versions/v0"  # another one was champion when it was judged
    assert step("v3", champion=other)["state"] == "candidate"
    assert step("v3", running="wait")["state"] == "candidate"  # v2's experiment goes on
    assert site.shares() == {"v1": 0.9, "v2": 0.1}
    assert site.services() == {"ranker", "ranker-v1", "ranker-v2"}

    site.controller.failing.add("ranker-v3")
    with pytest.raises(DeploymentFailed, match="ranker-v3"):
        step("v3", timeouts={"ready": 4})
    assert site.shares() == {"v1": 0.9, "v2": 0.1}
    assert registry.state().versions == {"v1": "champion", "v2": "challenger", "v3": "candidate"}

    site.controller.failing.clear()
    assert step("v3")["state"] == "challenger"  # tried again, when the cause is gone
    assert site.shares() == {"v1": 0.9, "v3": 0.1}
    assert site.services() == {"ranker", "ranker-v1", "ranker-v3"}
    assert step("v2")["state"] == "retired"  # what someone moved since stays as it is
    assert site.shares() == {"v1": 0.9, "v3": 0.1}


@pytest.mark.parametrize(
    ("share", "settings", "error", "text"),
    [
        (0.1, {"name": "Not a name"}, DefinitionError, "cluster: line 1: name"),
        (1.5, {}, RegistryError, r"share 1\.5"),
        (0.1, {"namespace": "missing"}, ClusterError, "no namespace missing"),
        (0.1, {"secrets": {"signing": "s"}}, DefinitionError, r"secrets\.signing is set"),
    ],
)
def test_what_cannot_work_changes_nothing(
    step: Any,
    site: Site,
    tmp_path: Path,
    share: float,
    settings: dict[str, Any],
    error: type[Exception],
    text: str,
) -> None:
    with pytest.raises(error, match=text):
        step("v1", share=share, **settings)
    assert {path.name for path in tmp_path.iterdir()} == {"kubeconfig"}
    assert site.services() == set()
