from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.serving.experiments.statistics.confidence import boundary, tuning


@given(st.floats(0.001, 0.3), st.floats(10, 1e7))
def test_the_sequence_is_tightest_at_its_horizon(alpha: float, horizon: float) -> None:
    at, before, after = (
        float(boundary(horizon * factor, alpha=alpha, horizon=horizon)) for factor in (1, 0.9, 1.1)
    )
    assert at < before
    assert at < after


def test_it_is_the_papers_formula() -> None:
    """Theorem 2.2 with t = 400, written out."""
    t, alpha, horizon = 400.0, 0.05, 1_000.0
    rho2 = tuning(alpha, horizon)
    reach = math.sqrt(
        2 * (t * rho2 + 1) / (t**2 * rho2) * math.log(math.sqrt(t * rho2 + 1) / alpha)
    )
    assert float(boundary(t, alpha=alpha, horizon=horizon)) == pytest.approx(reach * math.sqrt(t))


def test_it_is_wider_than_one_look_and_infinite_without_data() -> None:
    found = boundary([0.0, 1.0, 1e3, 1e9], alpha=0.05, horizon=1e3)
    assert found[0] == np.inf
    assert (found[1:] > 1.96).all()
    assert found[2] == pytest.approx(3.035, abs=0.001)


def test_a_random_walk_leaves_it_as_often_as_it_may_and_no_more() -> None:
    """A walk over 10^5 steps leaves the band in fewer than 5 % of cases, and not in none."""
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.standard_normal((400, 2_000)) * math.sqrt(50), axis=1)
    times = np.arange(1, 2_001) * 50.0
    crossed = np.abs(walks) / np.sqrt(times) > boundary(times, alpha=0.05, horizon=2_000)
    share = crossed.any(axis=1).mean()
    assert 0.005 < share < 0.05 + 3 * math.sqrt(0.05 * 0.95 / 400)


@pytest.mark.parametrize(("alpha", "horizon"), [(0.0, 10.0), (1.0, 10.0), (0.05, 0.0)])
def test_arguments_out_of_range_are_refused(alpha: float, horizon: float) -> None:
    with pytest.raises(ValueError, match="alpha"):
        tuning(alpha, horizon)
