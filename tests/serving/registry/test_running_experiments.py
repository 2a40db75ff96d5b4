"""Experiments outlive a night: what a new version does to the one that runs."""

from __future__ import annotations

import pytest

from hemix.errors import RegistryError
from hemix.serving.registry.transitions import (
    RegistryState,
    Running,
    add,
    next_in_line,
    parse_state,
    promote,
    retire,
    rollback,
    running_policy,
    running_told,
    state_bytes,
)


def _week(running: Running) -> list[RegistryState]:
    """A champion, and a night a day."""
    state, states = RegistryState(), []
    for night in range(1, 6):
        state = add(state, f"v{night}", share=0.1, running=running)
        states.append(state)
    return states


def test_by_default_of_the_nights_an_experiment_goes_on() -> None:
    for state in _week("wait")[1:]:
        assert state.shares == pytest.approx({"v1": 0.9, "v2": 0.1})
        assert state.salt == _week("wait")[1].salt
    last = _week("wait")[-1]
    assert [last.versions[f"v{n}"] for n in (3, 4, 5)] == ["candidate"] * 3
    ended = promote(last, "v2")
    assert add(ended, "v6", share=0.1, running="wait").shares == pytest.approx(
        {"v2": 0.9, "v6": 0.1}
    )


def test_replace_ends_it_every_night() -> None:
    last = _week("replace")[-1]
    assert set(last.shares) == {"v1", "v5"}
    assert [last.versions[f"v{n}"] for n in (2, 3, 4)] == ["retired"] * 3


def test_queue_keeps_the_newest_for_when_it_has_ended() -> None:
    last = _week("queue")[-1]
    assert set(last.shares) == {"v1", "v2"}
    assert [one.version for one in last.queue] == ["v5"]
    assert next_in_line(last) is last
    for ended in (promote(last, "v2"), rollback(last, "v2")):
        begun = next_in_line(ended)
        assert begun.versions["v5"] == "challenger"
        assert begun.queue == ()
        assert begun.salt != ended.salt
    assert retire(last, "v5").queue == ()


def test_a_state_without_a_queue_is_read_by_endpoints_that_know_none() -> None:
    without, with_one = _week("wait")[-1], _week("queue")[-1]
    assert b"queue" not in state_bytes(without)
    assert parse_state(state_bytes(with_one), "there") == with_one


def test_it_is_told() -> None:
    state = _week("wait")[-1]
    assert running_told(state).startswith("v2 is on trial since 20")
    assert running_told(state).endswith("with 10% of the users")
    assert running_told(RegistryState()) == ""
    assert running_policy("queue") == "queue"
    with pytest.raises(RegistryError, match="'never' is not one of wait, replace, queue"):
        running_policy("never")


def test_a_version_that_was_judged_against_another_champion_stays_a_candidate() -> None:
    """Two trainings end together: the second was not compared with what the first became."""
    first = add(RegistryState(), "a", share=0.1, judged="")
    assert first.champion == "a"
    assert add(first, "b", share=0.1, judged="").versions["b"] == "candidate"
    assert add(first, "b", share=0.1, judged="a").versions["b"] == "challenger"
    assert add(first, "b", share=0.1).versions["b"] == "challenger"  # not said
    trial = add(first, "b", share=0.1, judged="a")
    moved = promote(trial, "b")
    assert add(moved, "c", share=0.1, judged="a", running="replace").shares == {"b": 1.0}
    assert add(moved, "c", share=0.1, judged="b").versions["c"] == "challenger"
