"""The way back with a controller that is slow, stuck, or loses pods: users first, and never undone."""

from __future__ import annotations

from typing import Any

import pytest

from hemix.errors import RegistryError
from hemix.serving.kubernetes import carry_out as service
from hemix.serving.kubernetes.errors import DeploymentFailed
from hemix.serving.kubernetes.ready import rollout_look
from hemix.serving.kubernetes.served import _is_back
from hemix.serving.registry import transitions as moves
from hemix.serving.registry.registry import FolderRegistry
from tests.serving.kubernetes.conftest import Site, state_of
from tests.serving.kubernetes.test_service import _canary, _carry, _settings, registry

__all__ = ["registry"]


def _back(site: Site, registry: FolderRegistry, **options: Any) -> None:
    timeouts = options.pop("timeouts", {})
    settings = _settings(site, timeouts=timeouts)
    move = service.rollback(registry.state(), why="errors")
    site.lines.clear()
    service.carry_out(move, registry, settings, site.cluster, say=site.lines.append, **options)


def test_a_late_ranker_and_lost_pods_do_not_bring_the_bad_version_back(
    site: Site,
    registry: FolderRegistry,
) -> None:
    _canary(site, registry, 5, version="v2")
    site.controller.may_break = True
    # The ranker is stuck, the champion lost one of its two pods, the bad version does not load.
    site.controller.available = {"ranker": 0, "ranker-v1": 1}
    site.controller.failing = {"ranker", "ranker-v2"}
    with pytest.raises(DeploymentFailed, match="Users have moved and stay where they are"):
        _back(site, registry, timeouts={"ready": 1})
    assert site.shares() == {"v1": 1.0}
    assert registry.state().shares == {"v1": 1.0}
    assert registry.state().versions["v2"] == "retired"
    traffic, pods = site.lines.index("deploy: traffic"), site.lines.index("deploy: pods")
    assert traffic < pods
    # The same command again, when the ranker is mended, takes away what is over.
    site.controller.failing, site.controller.available = set(), {}
    _carry(site, registry, service.STAY)
    assert site.services() == {"ranker", "ranker-v1"}


def test_no_wait_returns_once_users_moved(site: Site, registry: FolderRegistry) -> None:
    _canary(site, registry, 5, version="v2")
    site.controller.may_break = True
    site.controller.failing = {"ranker"}
    _back(site, registry, wait=False)
    assert site.shares() == {"v1": 1.0}
    assert registry.state().shares == {"v1": 1.0}
    assert site.services() == {"ranker", "ranker-v1", "ranker-v2"}  # left to the next deploy


def test_a_nights_write_in_between_is_kept(site: Site, registry: FolderRegistry) -> None:
    _canary(site, registry, 5, version="v2")
    move = service.rollback(registry.state(), why="errors")
    said = site.lines.append

    def say(line: str) -> None:
        if line == "deploy: traffic":
            registry.move(lambda state: moves.add(state, "v9", share=None))
        said(line)

    service.carry_out(move, registry, _settings(site), site.cluster, say=say)
    state = registry.state()
    assert state.versions["v9"] == "candidate"
    assert state.versions["v2"] == "retired"
    assert site.shares() == {"v1": 1.0}


def test_a_night_that_is_on_its_way_does_not_undo_it(
    site: Site,
    registry: FolderRegistry,
) -> None:
    """A deployment that began before the way back finds the registry changed, and moves no traffic."""
    _canary(site, registry, 5, version="v2")
    move = service.challenge("v3", 0.1)

    def say(line: str) -> None:
        if line == "deploy: predictors":
            _back(site, registry)

    with pytest.raises(RegistryError, match="changed by someone else"):
        service.carry_out(move, registry, _settings(site), site.cluster, say=say)
    assert site.shares() == {"v1": 1.0}
    assert registry.state().shares == {"v1": 1.0}


def test_a_champion_before_that_is_cold_needs_one_pod_first(
    site: Site,
    registry: FolderRegistry,
) -> None:
    _canary(site, registry, 5, version="v2")
    _carry(site, registry, service.promote("v2"))
    site.controller.failing = {"ranker-v1"}
    with pytest.raises(DeploymentFailed, match=r"No pod answers.*Users stay where they were"):
        _back(site, registry, timeouts={"ready": 1})
    assert site.shares() == {"v2": 1.0}
    assert registry.state().champion == "v2"
    site.controller.failing, site.controller.available = set(), {"ranker-v1": 1}
    _back(site, registry, wait=False)  # one of two pods answers: enough
    assert site.shares() == {"v1": 1.0}
    assert registry.state().champion == "v1"


def test_a_registry_that_is_away_does_not_keep_users_there(
    site: Site,
    registry: FolderRegistry,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _canary(site, registry, 5, version="v2")

    def away(_: Any) -> Any:
        raise RegistryError("s3://models/registry does not answer.")

    monkeypatch.setattr(registry, "move", away)
    with pytest.raises(RegistryError, match="Users have moved all the same"):
        _back(site, registry)
    assert site.shares() == {"v1": 1.0}


def test_pods_that_are_refused_are_said_at_once() -> None:
    message = 'pods "ranker-v1" is forbidden: violates PodSecurity "restricted:v1.31"'
    look = rollout_look(
        {
            "metadata": {"name": "ranker-v1-predictor"},
            "spec": {"replicas": 2},
            "status": {
                "conditions": [{"type": "ReplicaFailure", "status": "True", "message": message}]
            },
        }
    )
    assert look.broken
    assert message in look.why


def test_which_moves_take_a_version_away() -> None:
    both = state_of("v1", v2=0.1).model_copy(update={"champions": ("v0", "v1")})
    both = both.model_copy(
        update={"versions": {**both.versions, "v0": "retired", "v3": "candidate"}}
    )
    assert _is_back(both, moves.rollback(both, "v2"))
    assert _is_back(both, moves.rollback(both, "v1"))
    assert not _is_back(both, moves.promote(both, "v2"))
    assert not _is_back(both, moves.challenge(both, "v3", share=0.1))
    assert not _is_back(both, moves.challenge(both, "v2", share=0.5))
    assert not _is_back(both, both)
