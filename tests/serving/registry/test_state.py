from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.errors import HemixError, RegistryError
from hemix.serving.registry import transitions as moves
from hemix.serving.registry.told import require_live, what_rollback_did
from hemix.serving.registry.transitions import (
    Note,
    RegistryState,
    parse_state,
    state_bytes,
    summary_of,
)
from hemix.verdict import Check, Verdict


def added(*versions: str, share: float | None = 0.1) -> RegistryState:
    state = RegistryState()
    for version in versions:
        state = moves.add(state, version, share=share)
    return state


def test_the_first_version_is_champion_and_a_later_one_challenges() -> None:
    state = added("a", "b")
    assert state.versions == {"a": "champion", "b": "challenger"}
    assert state.shares == {"a": pytest.approx(0.9), "b": 0.1}


def test_a_new_challenger_retires_the_one_before_and_cuts_the_users_anew() -> None:
    before, after = added("a", "b"), added("a", "b", "c")
    assert after.versions == {"a": "champion", "b": "retired", "c": "challenger"}
    assert after.salt != before.salt
    assert moves.challenge(after, "c", share=0.3).salt == after.salt


def test_promote_and_roll_back_along_the_line_of_champions() -> None:
    state = moves.promote(added("a", "b"), "b", note=Note(why="better"))
    assert state.versions == {"a": "retired", "b": "champion"}
    assert state.shares == {"b": 1.0}
    back = moves.rollback(state, "b", note=Note(why="worse after all"))
    assert back.champion == "a"
    assert back.versions == {"a": "champion", "b": "retired"}
    with pytest.raises(RegistryError, match="first champion"):
        moves.rollback(back, "a")


def test_roll_back_of_a_challenger_retires_it() -> None:
    state = moves.rollback(added("a", "b"), "b")
    assert state.shares == {"a": 1.0}
    assert state.state_of("b") == "retired"


def test_no_share_means_candidate() -> None:
    state = moves.add(added("a"), "b", share=None)
    assert state.state_of("b") == "candidate"
    with pytest.raises(RegistryError, match="hemix models challenge b"):
        moves.promote(state, "b")
    assert moves.challenge(state, "b", share=0.2).shares["b"] == 0.2


@pytest.mark.parametrize(
    ("move", "text"),
    [
        (lambda s: moves.promote(s, "zz"), "Versions: a, b"),
        (lambda s: moves.retire(s, "a"), "no one to serve"),
        (lambda s: moves.challenge(s, "a", share=0.1), "cannot challenge itself"),
        (lambda s: moves.challenge(s, "b", share=1.0), "below 1"),
        (lambda s: moves.challenge(s, "b", share=float("nan")), "below 1"),
        (lambda s: moves.add(s, "c", share=-0.1), "at least 0"),
    ],
)
def test_an_illegal_move_says_what_to_do(move: object, text: str) -> None:
    assert callable(move)
    with pytest.raises(RegistryError, match=text):
        move(added("a", "b"))


def test_the_history_says_who_when_what_why_and_on_which_verdict() -> None:
    verdict = Verdict.of("validate_model", [Check.of("auc", 0.7, 0.6, "at_least")])
    state = moves.add(
        RegistryState(),
        "a",
        share=0.1,
        note=Note(who="me", why="first", verdict=summary_of(verdict)),
    )
    (event,) = state.history
    assert (event.who, event.what, event.version, event.why) == ("me", "add", "a", "first")
    assert event.verdict == "validate_model: 1 of 1 checks passed"
    assert moves.promote(added("a", "b"), "b").history[-1].who
    assert event.when.tzinfo is not None


MOVES = st.lists(
    st.tuples(
        st.sampled_from(["add", "challenge", "promote", "rollback", "retire"]),
        st.sampled_from(["a", "b", "c", "d"]),
    ),
    max_size=25,
)


def _apply(state: RegistryState, what: str, version: str) -> RegistryState:
    if what == "add":
        return moves.add(state, version, share=0.1)
    if what == "challenge":
        return moves.challenge(state, version, share=0.2)
    step = {"promote": moves.promote, "rollback": moves.rollback, "retire": moves.retire}[what]
    return step(state, version)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(MOVES)
def test_whatever_is_done_one_champion_serves_and_every_move_can_be_repeated(
    steps: list[tuple[str, str]],
) -> None:
    state = RegistryState()
    for what, version in steps:
        try:
            state = _apply(state, what, version)
        except HemixError:
            continue
        if not (what == "rollback" and state.state_of(version) == "champion"):
            assert _apply(state, what, version) == state
        champions = [v for v, s in state.versions.items() if s == "champion"]
        assert champions == [state.champion]
        trial = [v for v, s in state.versions.items() if s == "challenger"]
        assert trial == [c.version for c in state.challengers]
        assert sum(state.shares.values()) == pytest.approx(1.0)
        assert state.champions[-1] == state.champion


def test_state_is_written_and_read_back_and_nonsense_is_refused() -> None:
    assert parse_state(None, "there") == RegistryState()
    state = added("a", "b")
    assert parse_state(state_bytes(state), "there") == state
    with pytest.raises(RegistryError, match="there: not a registry state"):
        parse_state(b'{"champion": 1}', "there")


def test_a_rollback_says_what_it_did_and_one_without_effect_is_refused() -> None:
    state = moves.challenge(added("a", "b"), "b", share=0.25)
    require_live(state, "a")
    ended = moves.rollback(state, "b")
    assert what_rollback_did(state, ended, "b") == (
        "b was a challenger and is retired; the 25% of users that it had go to the champion a."
    )
    for version, stands in (("b", "retired"), ("c", "candidate")):
        with pytest.raises(RegistryError, match=f"{version} is a {stands} version and serves no"):
            require_live(moves.add(ended, "c", share=None), version)
    with pytest.raises(RegistryError, match="Live now: a; roll one of these back"):
        require_live(ended, "b")
