"""Moves of a registry on a cluster: canary steps, promotion, roll back, retire; the command."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.errors import DefinitionError, HemixError, RegistryError
from hemix.serving.kubernetes import carry_out as service
from hemix.serving.kubernetes.errors import ClusterError, DeploymentFailed
from hemix.serving.kubernetes.manifests.settings import DeploymentSettings
from hemix.serving.kubernetes.served import ServedRegistry
from hemix.serving.kubernetes.served import Site as ServingSite
from hemix.serving.registry.registry import FolderRegistry
from hemix.serving.registry.transitions import RegistryState, state_bytes
from tests.serving.experiments.logged import write_manifest
from tests.serving.kubernetes.conftest import REGISTRY, Site, state_of


@pytest.fixture
def registry(tmp_path: Path) -> FolderRegistry:
    """A registry with champion v1 and candidates v2, v3; of these only state and manifests are read."""
    state = state_of("v1").model_copy(
        update={"versions": {"v1": "champion", "v2": "candidate", "v3": "candidate"}}
    )
    root = tmp_path / "registry"
    root.mkdir()
    (root / "state.json").write_bytes(state_bytes(state))
    for version in state.versions:
        write_manifest(root / "versions" / version)
    return FolderRegistry(root)


def _settings(site: Site, **fields: Any) -> DeploymentSettings:
    return site.settings(
        storage={
            "models": REGISTRY,
            "features": "s3://models/features",
            "exposures": "s3://logs/exposures",
        },
        **fields,
    )


def _carry(
    site: Site, registry: FolderRegistry, move: service.Move, **fields: Any
) -> RegistryState:
    settings = _settings(site, **fields)
    return service.carry_out(move, registry, settings, site.cluster, say=site.lines.append)


def _canary(site: Site, registry: FolderRegistry, step: int | None, version: str = "") -> None:
    move = service.canary(registry.state(), step, _settings(site), version=version)
    _carry(site, registry, move)


def test_from_candidate_to_champion_in_steps_and_back(site: Site, registry: FolderRegistry) -> None:
    _carry(site, registry, service.STAY)
    assert site.shares() == {"v1": 1.0}
    seen = []
    for step in (5, 25, 50):
        _canary(site, registry, step, version="v2")
        assert registry.state().shares == pytest.approx({"v1": 1 - step / 100, "v2": step / 100})
        seen.append(site.shares())
    assert seen == [{"v1": 0.95, "v2": 0.05}, {"v1": 0.75, "v2": 0.25}, {"v1": 0.5, "v2": 0.5}]
    _canary(site, registry, 100)
    assert registry.state().champion == "v2"
    assert site.shares() == {"v2": 1.0}
    assert site.services() == {"ranker", "ranker-v2"}
    # Back to the champion before: its pods are made anew, and ready before v2's go.
    _carry(site, registry, service.rollback(registry.state(), why="errors"))
    assert registry.state().champion == "v1"
    assert registry.state().history[-1].why == "errors"
    assert site.shares() == {"v1": 1.0}
    assert site.services() == {"ranker", "ranker-v1"}


def test_a_step_that_fails_changes_neither_cluster_nor_registry(
    site: Site, registry: FolderRegistry
) -> None:
    _carry(site, registry, service.STAY)
    before = registry.state()
    site.controller.failing.add("ranker-v2")
    move = service.canary(before, 5, _settings(site), version="v2")
    with pytest.raises(DeploymentFailed, match="ranker-v2"):
        _carry(site, registry, move, timeouts={"ready": 3})
    assert registry.state() == before
    assert site.shares() == {"v1": 1.0}
    assert site.services() == {"ranker", "ranker-v1"}


def test_a_challenger_is_rolled_back_even_when_it_is_broken(
    site: Site, registry: FolderRegistry
) -> None:
    _canary(site, registry, 5, version="v2")
    site.controller.may_break = True
    site.controller.failing.add("ranker-v2")
    _carry(site, registry, service.rollback(registry.state()))
    assert site.shares() == {"v1": 1.0}
    assert registry.state().versions["v2"] == "retired"
    assert site.services() == {"ranker", "ranker-v1"}


def test_retire_takes_the_pods_away(site: Site, registry: FolderRegistry) -> None:
    _canary(site, registry, 5, version="v2")
    _carry(site, registry, service.retire("v2", why="never mind"))
    assert site.services() == {"ranker", "ranker-v1"}
    _carry(site, registry, service.retire("v2"))  # again: nothing
    assert [event.why for event in registry.state().history if event.what == "retire"] == [
        "never mind"
    ]


def test_a_registry_that_changed_meanwhile_takes_the_cluster_back(
    site: Site, registry: FolderRegistry
) -> None:
    _carry(site, registry, service.STAY)
    move = service.canary(registry.state(), 5, _settings(site), version="v2")
    said = site.lines.append

    def say(line: str) -> None:
        if line == "deploy: traffic":
            registry.challenge("v3", share=0.2)
        said(line)

    with pytest.raises(RegistryError, match="changed by someone else"):
        service.carry_out(move, registry, _settings(site), site.cluster, say=say)
    assert site.shares() == {"v1": 1.0}
    assert registry.state().shares == pytest.approx({"v1": 0.8, "v3": 0.2})


def test_the_champion_before_may_be_kept_for_a_fast_way_back(
    site: Site, registry: FolderRegistry
) -> None:
    _canary(site, registry, 5, version="v2")
    _carry(site, registry, service.promote("v2"), champion_before_hours=1)
    assert site.services() == {"ranker", "ranker-v1", "ranker-v2"}
    assert site.shares() == {"v2": 1.0}


def test_moves_of_a_served_registry_are_the_clusters(site: Site, registry: FolderRegistry) -> None:
    served = ServedRegistry(registry, ServingSite(site.cluster, _settings(site)))
    served.challenge("v2", share=0.2, why="an experiment")
    assert site.shares() == {"v1": 0.8, "v2": 0.2}
    before = registry.state()
    site.cluster.namespace = "missing"
    with pytest.raises(ClusterError, match="no namespace missing"):
        served.promote("v2")
    assert registry.state() == before
    site.cluster.namespace = site.namespace
    served.promote("v2", why="better")
    assert site.shares() == {"v2": 1.0}
    assert registry.state().history[-1].why == "better"


@pytest.mark.parametrize(
    ("step", "version", "text"),
    [
        (50, "v2", "the next step is 5, not 50"),
        (7, "v2", "7 is not a canary step"),
        (5, "", "Which version"),
        (5, "v1", "is the champion"),
        (5, "v9", "no version 'v9'"),
    ],
)
def test_a_step_that_may_not_follow(
    registry: FolderRegistry, step: int, version: str, text: str
) -> None:
    with pytest.raises(RegistryError, match=text):
        service.canary(registry.state(), step, DeploymentSettings(), version=version)


def test_steps_down_are_free_and_next_is_the_one_above() -> None:
    settings = DeploymentSettings()
    half = state_of("v1", v2=0.5)
    assert service.canary(half, 5, settings).step(half).shares["v2"] == 0.05
    tenth = state_of("v1", v2=0.1)
    assert service.canary(tenth, None, settings).step(tenth).shares["v2"] == 0.25
    assert service.canary(half, None, settings).step(half).champion == "v2"


class TestCommand:
    """``hemix deploy`` as a person runs it."""

    @pytest.fixture
    def files(self, site: Site, registry: FolderRegistry, tmp_path: Path) -> list[str]:
        settings = tmp_path / "deploy.yaml"
        settings.write_text(yaml.safe_dump(json.loads(_settings(site).model_dump_json())))
        kubeconfig = tmp_path / "kubeconfig"
        return [
            *("deploy", "--registry", str(registry.root), "--settings", str(settings)),
            *("--kubeconfig", str(kubeconfig)),
        ]

    def test_look_then_deploy_then_look(
        self, files: list[str], site: Site, registry: FolderRegistry
    ) -> None:
        dry = _run(*files, "--dry-run")
        kinds = [m["kind"] for m in yaml.safe_load_all(dry)]
        assert kinds.count("InferenceService") == 2
        assert "+kind: HTTPRoute" in _run(*files, "--diff")
        assert site.services() == set()  # looking changed nothing
        assert "ranker-v1" in _run(*files)
        assert "Nothing would change" in _run(*files, "--diff")
        diff = _run(*files, "--canary", "next", "--version", "v2", "--diff")
        assert "share: 0.05" in diff
        assert registry.state().challengers == ()
        out = _run(*files, "--canary", "next", "--version", "v2", "--why", "day 1")
        assert "v2 to 5 % of the users" in out
        assert registry.state().history[-1].why == "day 1"
        assert "5%" in _run(*files, "--status")

    @pytest.mark.parametrize(
        ("options", "text"),
        [
            (("--canary", "5", "--rollback"), "Give one of --canary"),
            (("--dry-run", "--diff"), "Give one of --dry-run"),
            (("--retire",), "--retire needs --version"),
            (("--why", "x"), "belong to --canary"),
            (("--canary", "lots"), "give a percentage or next"),
        ],
    )
    def test_options_that_do_not_go_together(
        self, files: list[str], options: tuple[str, ...], text: str
    ) -> None:
        result = CliRunner().invoke(app, [*files, *options])
        assert isinstance(result.exception, DefinitionError)
        assert text in str(result.exception)


def _run(*arguments: str) -> str:
    result = CliRunner().invoke(app, list(arguments))
    if isinstance(result.exception, HemixError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output
