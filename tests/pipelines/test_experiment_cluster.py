# ruff: noqa: F811
"""From logged exposures to moved traffic in one piece: analysis, decision, cluster, registry.

By ``hemix experiment decide --apply --settings`` and by the ``experiment`` pipeline, on a real API
server for custom resources; a controller of the tests sets status.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kubernetes.config import kube_config
from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.components.experiment.component import experiment as component
from hemix.errors import DefinitionError, HemixError
from hemix.pipelines.definitions.experiment import experiment
from hemix.pipelines.local.execution import LocalRun
from hemix.serving.kubernetes.errors import ClusterError, DeploymentFailed
from hemix.serving.registry.registry import FolderRegistry
from hemix.verdict import Verdict
from tests.pipelines.test_local import Notes
from tests.serving.experiments.logged import World
from tests.serving.kubernetes.conftest import (  # noqa: F401
    REGISTRY,
    Site,
    api_server,
    cluster,
    controller,
    kubeconfig,
    namespace,
    proxy,
    site,
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

POLICY = "secondary: []\nguardrails: {errors: {margin: 0.01}}\n"
Decide = Callable[[], str]


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A challenger that is surely better, and one that is surely worse."""
    root = tmp_path_factory.mktemp("logs")
    for name, lift, seed in (("better", 0.5, 0), ("worse", -0.5, 2)):
        World(users=1_200, lift=lift, seed=seed).write(root / name)
        (root / name / "policy.yaml").write_text(POLICY)
    return {path.name: path for path in root.iterdir()}


def _told(decision: str, page: str, verdict: object) -> str:
    """What the decision's record says, in the command's words."""
    record = json.loads(Path(decision).read_text())["decision"]
    assert record["verdict"] == verdict
    assert Path(page).stat().st_size > 10_000
    return record["verdict"].replace("_", " ") + (" (applied)" if record["applied"] else "")


class Stage:
    """A registry with an experiment under way, served by the cluster of ``site``."""

    def __init__(self, site: Site, kubeconfig: Path, root: Path) -> None:
        self.site = site
        self.root = root
        self.registry = FolderRegistry(root / "registry")
        self.kubeconfig = kubeconfig
        self.settings = root / "deploy.yaml"
        self.write_settings()
        self.hemix("deploy", "--registry", str(self.registry.root))

    def write_settings(self, **fields: Any) -> None:
        storage = {
            "models": REGISTRY,
            "features": "s3://models/features",
            "exposures": "s3://logs/exposures",
        }
        settings = self.site.settings(storage=storage).model_copy(update=fields)
        self.settings.write_text(settings.model_dump_json())

    def hemix(self, *words: str) -> str:
        cluster = ("--settings", str(self.settings), "--kubeconfig", str(self.kubeconfig))
        done = CliRunner().invoke(app, [*words, *cluster])
        if isinstance(done.exception, HemixError):
            raise done.exception
        assert done.exit_code == 0, done.output
        return done.output

    def by_command(self) -> str:
        """Decide and apply as a person does; the verdict."""
        options = ("--models", str(self.root), "--policy", str(self.root / "policy.yaml"))
        told = self.hemix("experiment", "decide", *options, "--apply")
        return told.split("Decision: ")[1].splitlines()[0]

    def parameters(self) -> dict[str, Any]:
        return {
            "exposures": str(self.root / "exposures"),
            "outcomes": str(self.root / "outcomes"),
            "registry": str(self.registry.root),
            "policy": POLICY,
            "apply": True,
            "cluster": self.settings.read_text(),
        }

    def by_pipeline(self) -> str:
        """The same by the pipeline, whose step is a process of its own."""
        notes = Notes()
        run = LocalRun(root=self.root / "run", logs=self.root / "logs", observer=notes)
        run.run(experiment, self.parameters())
        (result,) = notes.results
        assert not result.cached
        verdict = result.parameters["Output"]
        return _told(result.artifacts["decision"], result.artifacts["page"], verdict)

    def by_component(self) -> str:
        """The same by the step's component, in this process."""
        places = {
            name: SimpleNamespace(path=str(self.root / name))
            for name in ("made", "verdict", "page")
        }
        verdict = component.python_func(
            **self.parameters(),
            decision=places["made"],
            verdict=places["verdict"],
            page=places["page"],
        )
        assert Verdict.read(self.root / "verdict").passed
        return _told(places["made"].path, places["page"].path, verdict)

    def live(self) -> dict[str, Any]:
        """Names and versions of what users meet, and whether it was accepted."""
        route = self.site.get("HTTPRoute", "ranker")
        assert route is not None
        services = {name: self.site.get("InferenceService", name) for name in self.site.services()}
        conditions = {
            name: {c["type"]: c["status"] for c in (service or {})["status"]["conditions"]}
            for name, service in services.items()
        }
        accepted = route["status"]["parents"][0]["conditions"][0]
        assert (accepted["type"], accepted["status"]) == ("Accepted", "True")
        return {
            "route": route["metadata"]["resourceVersion"],
            "behind the route": route["spec"]["rules"][0]["backendRefs"][0]["name"],
            "ready": {name for name, found in conditions.items() if found["Ready"] == "True"},
            "models": {
                name: service["spec"]["predictor"]["model"]["storageUri"]
                for name, service in services.items()
                if service is not None and "model" in service["spec"]["predictor"]
            },
            "shares": self.site.shares(),
        }


@pytest.fixture
def stage_of(
    site: Site, kubeconfig: Path, tmp_path: Path, logs: dict[str, Path]
) -> Callable[[str], Stage]:
    def make(name: str) -> Stage:
        return Stage(site, kubeconfig, shutil.copytree(logs[name], tmp_path / name))

    return make


@pytest.mark.parametrize(
    ("way", "log", "verdict", "stays", "goes"),
    [
        ("by_command", "better", "promote", "v2", "v1"),
        ("by_command", "worse", "roll back", "v1", "v2"),
        ("by_pipeline", "better", "promote", "v2", "v1"),
        ("by_component", "worse", "roll back", "v1", "v2"),
    ],
)
def test_what_the_logs_say_is_what_users_meet(
    way: str,
    log: str,
    verdict: str,
    stays: str,
    goes: str,
    stage_of: Callable[[str], Stage],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stage = stage_of(log)
    monkeypatch.setenv("KUBECONFIG", str(stage.kubeconfig))  # for the step's process
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(stage.kubeconfig))
    decide: Decide = getattr(stage, way)
    before = stage.live()
    assert before["shares"] == {"v1": 0.5, "v2": 0.5}
    assert before["ready"] == {"ranker", "ranker-v1", "ranker-v2"}
    assert before["models"] == {f"ranker-{v}": f"{REGISTRY}/versions/{v}" for v in ("v1", "v2")}

    assert decide() == f"{verdict} (applied)"
    after = stage.live()
    assert after["shares"] == {stays: 1.0}
    assert after["ready"] == {"ranker", f"ranker-{stays}"}
    assert after["models"] == {f"ranker-{stays}": f"{REGISTRY}/versions/{stays}"}
    # The way in is the same one: users are moved behind it.
    assert after["behind the route"] == before["behind the route"] == "ranker-predictor"
    assert after["route"] == before["route"]
    state = stage.registry.state()
    assert (state.champion, state.versions[goes]) == (stays, "retired")
    assert "surely" in state.history[-1].why
    assert "Nothing would change" in stage.hemix(
        "deploy", "--registry", str(stage.registry.root), "--diff"
    )

    assert stage.by_command() == "none"  # again: no experiment runs any more
    assert stage.live() == after
    assert stage.registry.state() == state


def test_a_cluster_that_cannot_changes_nothing_and_the_decision_stays_on_record(
    stage_of: Callable[[str], Stage],
) -> None:
    stage = stage_of("better")
    before, state = stage.live(), stage.registry.state()
    stage.site.controller.bad_images.add("hemix/serve:2")
    short = stage.site.settings(timeouts={"ready": 3, "settled": 3}).timeouts
    stage.write_settings(image="hemix/serve:2", timeouts=short)
    with pytest.raises(DeploymentFailed, match="ranker-predictor"):
        stage.by_command()
    after = stage.live()
    assert {**after, "route": ""} == {**before, "route": ""}
    assert stage.registry.state() == state
    record = json.loads((stage.root / "experiment-model.json").read_text())["decision"]
    assert (record["verdict"], record["applied"]) == ("promote", False)
    assert "Promote" in (stage.root / "experiment-model.html").read_text()
    stage.write_settings(namespace="missing")
    with pytest.raises(ClusterError, match="no namespace missing"):
        stage.by_command()
    stage.write_settings()
    assert stage.by_command() == "promote (applied)"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--settings", "deploy.yaml"), "--settings needs --apply"),
        (("--kubeconfig", "k", "--apply"), "need --settings"),
        (("--settings", "absent.yaml", "--apply"), "absent.yaml: cannot read"),
    ],
)
def test_options_that_do_not_go_together(words: tuple[str, ...], told: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["experiment", "decide", "--models", str(tmp_path), *words])
    assert isinstance(done.exception, DefinitionError)
    assert told in str(done.exception)
