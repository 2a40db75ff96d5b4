from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from scipy.stats import chisquare

from hemix.serving.experiments.statistics.srm import chi_square, log_evidence, sequential


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.9, 0.1), (0.2, 0.3, 0.5)])
def test_under_the_plan_the_evidence_is_a_martingale(shares: tuple[float, ...]) -> None:
    """Its mean over all outcomes of n users, weighed by their probability, is 1 for every n."""
    for n in range(5):
        mean = 0.0
        for arms in itertools.product(range(len(shares)), repeat=n):
            counts = np.bincount(np.array(arms, dtype=int), minlength=len(shares))
            chance = math.prod(shares[arm] for arm in arms)
            mean += chance * math.exp(
                float(log_evidence(counts, shares, concentrations=(3.0, 40.0)))
            )
        assert mean == pytest.approx(1.0)


def test_chi_square_is_scipys() -> None:
    assert chi_square([880, 120], [0.9, 0.1]) == chisquare([880, 120], [900, 100]).pvalue
    assert chi_square([0, 0], [0.9, 0.1]) == 1.0


@pytest.mark.slow
def test_looking_after_every_user_raises_no_more_false_alarms_than_allowed() -> None:
    rng = np.random.default_rng(0)
    alarms = sum(
        sequential(rng.integers(0, 2, 3_000), (0.5, 0.5), alpha=0.05).found for _ in range(300)
    )
    assert alarms <= 0.05 * 300
    assert alarms > 0


def test_a_lost_hundredth_is_found_among_many_users() -> None:
    arms = np.random.default_rng(0).random(400_000) < 0.495
    found = sequential(arms.astype(int), (0.5, 0.5))
    assert found.found
    assert sum(found.users) == 400_000
    assert found.planned == (0.5, 0.5)


def test_a_large_mistake_is_found_among_few_users() -> None:
    arms = np.random.default_rng(0).random(2_000) < 0.43
    assert sequential(arms.astype(int), (0.5, 0.5)).found


def test_what_was_once_certain_stays_certain() -> None:
    """A split that was broken for a day is broken, even when the totals come out right later."""
    arms = np.concatenate([np.zeros(2_000, int), np.ones(2_000, int)])
    found = sequential(arms, (0.5, 0.5))
    assert found.fixed_p_value == 1.0
    assert found.found


def test_no_users_are_no_mismatch() -> None:
    found = sequential(np.zeros(0, int), (0.5, 0.5))
    assert (found.p_value, found.users, found.found) == (1.0, (0, 0), False)
