from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.serving.experiments.assignment import Variant, assign, point

USERS = range(20_000)


def arms(share: float) -> tuple[Variant, ...]:
    return (
        Variant(name="champion", version="a", share=1 - share),
        Variant(name="challenger", version="b", share=share),
    )


@given(st.text(max_size=20), st.integers(min_value=-(2**63), max_value=2**63 - 1))
def test_a_point_is_in_the_unit_interval_and_the_same_for_text_and_number(
    salt: str, user: int
) -> None:
    assert 0.0 <= point(salt, user) < 1.0
    assert point(salt, user) == point(salt, str(user))


def test_a_point_never_changes_between_releases() -> None:
    """The value is that of `printf "salt|7" | b2sum -l 64`: a change reshuffles every experiment."""
    assert point("salt", 7) == pytest.approx(0.06984329517882437, abs=1e-12)
    assert point("other", 7) != point("salt", 7)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_the_split_is_within_binomial_bounds(share: float) -> None:
    taken = sum(assign(arms(share), salt="s", user_id=u).version == "b" for u in USERS)
    deviation = math.sqrt(len(USERS) * share * (1 - share))
    assert abs(taken - share * len(USERS)) < 4 * deviation


@given(
    st.integers(min_value=0, max_value=10**9),
    st.floats(0, 0.99),
    st.floats(0, 0.99),
    st.text(max_size=8),
)
def test_raising_the_share_keeps_whoever_is_in(user: int, a: float, b: float, salt: str) -> None:
    low, high = sorted((a, b))
    if assign(arms(low), salt=salt, user_id=user).version == "b":
        assert assign(arms(high), salt=salt, user_id=user).version == "b"


def test_no_share_takes_no_one_and_another_salt_is_an_independent_cut() -> None:
    assert all(assign(arms(0.0), salt="s", user_id=u).version == "a" for u in USERS)
    half = arms(0.5)
    first = [assign(half, salt="one", user_id=u).version == "b" for u in USERS]
    second = [assign(half, salt="two", user_id=u).version == "b" for u in USERS]
    both = sum(x and y for x, y in zip(first, second, strict=True))
    assert abs(both - len(USERS) / 4) < 4 * math.sqrt(len(USERS) * 3 / 16)
