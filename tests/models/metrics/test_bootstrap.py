"""The fast user bootstrap equals repeating each drawn user's rows and measuring again."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.models.metrics import calibration
from hemix.models.metrics import pointwise as metrics
from hemix.models.metrics.bootstrap import (
    FEWEST_USERS,
    FEWEST_USERS_INSIDE,
    METRICS,
    UserBootstrap,
)
from hemix.models.metrics.per_request import PER_REQUEST, per_request
from hemix.models.metrics.within_user import PER_USER, within_user

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 4), st.integers(0, 2)),
    min_size=1,
    max_size=50,
)


def measure(name: str, labels: np.ndarray, scores: np.ndarray, users: np.ndarray,
            requests: np.ndarray) -> float:  # fmt: skip
    if name in PER_USER:
        return within_user(name, labels, scores, users)
    if name == "impression_auc":
        return metrics.impression_auc(labels, scores, requests)
    if name in PER_REQUEST:
        values = per_request(name, labels, scores, requests)
        known = values[~np.isnan(values)]
        return float(known.mean()) if known.size else math.nan
    return float(getattr(metrics, name)(labels, scores))


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(ROWS, st.integers(0, 2**31))
def test_replicates_equal_resampled_rows(rows: list[tuple[int, int, int, int]], seed: int) -> None:
    labels = np.array([r[0] for r in rows])
    scores = np.array([r[1] / 10 + 0.05 for r in rows])
    users = np.unique([r[2] for r in rows], return_inverse=True)[1]
    requests = np.unique([r[2] * 3 + r[3] for r in rows], return_inverse=True)[1]
    draws = UserBootstrap.draw(users, replicates=4, seed=seed)
    for name in METRICS:
        if name == "ece":
            continue
        estimate = draws.metric(name, labels, scores, requests)
        assert estimate.value == pytest.approx(
            measure(name, labels, scores, users, requests), nan_ok=True
        )
        for replicate, weights in zip(estimate.replicates, draws.weights, strict=True):
            picked, copies = [], []
            for user, count in enumerate(weights.astype(int)):
                for copy in range(count):
                    own = np.flatnonzero(users == user)
                    picked.append(own)
                    copies.append(np.full(own.size, copy))
            index, copy_of = np.concatenate(picked), np.concatenate(copies)
            expected = measure(
                name, labels[index], scores[index],
                users[index] * 100 + copy_of, requests[index] * 100 + copy_of,
            )  # fmt: skip
            assert replicate == pytest.approx(expected, nan_ok=True), name


def test_ece_replicates_keep_the_bins_and_are_not_biased() -> None:
    random = np.random.default_rng(3)
    scores = random.random(2000)
    labels = (random.random(2000) < scores).astype(int)
    draws = UserBootstrap.draw(random.integers(0, 300, 2000), replicates=100, seed=1)
    estimate = draws.metric("ece", labels, scores)
    assert estimate.value == pytest.approx(calibration.ece(labels, scores))
    assert 0 <= estimate.low < estimate.value < estimate.high


def test_interval_covers_the_truth_and_pairs_are_tighter() -> None:
    random = np.random.default_rng(0)
    users = random.integers(0, 400, 8000)
    truth = 1 / (1 + np.exp(-(random.normal(size=8000) + random.normal(size=400)[users])))
    labels = (random.random(8000) < truth).astype(int)
    draws = UserBootstrap.draw(users, replicates=200, seed=2)
    good = draws.metric("auc", labels, truth)
    worse = draws.metric("auc", labels, truth + random.normal(size=8000) * 0.1)
    gap = draws.difference(good, worse)
    assert gap.value == pytest.approx(good.value - worse.value)
    assert gap.low > 0
    assert gap.high - gap.low < good.high - good.low
    assert good.low < metrics.auc(labels, truth) < good.high


def test_same_seed_same_interval_and_users_may_be_strings() -> None:
    users = np.array(["b", "a", "b", "c", "a", "c"], dtype=object)
    labels, scores = [0, 1, 1, 0, 1, 0], [0.1, 0.2, 0.7, 0.4, 0.9, 0.3]
    first = UserBootstrap.draw(users, seed=5).metric("auc", labels, scores)
    again = UserBootstrap.draw(users, seed=5).metric("auc", labels, scores)
    assert (first.low, first.high) == (again.low, again.high)


def test_one_class_has_no_interval() -> None:
    estimate = UserBootstrap.draw([1, 2, 3]).metric("auc", [1, 1, 1], [0.1, 0.2, 0.3])
    assert math.isnan(estimate.value)
    assert math.isnan(estimate.low)
    assert math.isnan(estimate.high)


def test_a_slice_keeps_the_draws_of_the_whole() -> None:
    users = np.arange(10) % 5
    draws = UserBootstrap.draw(users, seed=7)
    part = draws.subset(users < 2)
    assert part.weights is draws.weights
    assert part.users.tolist() == [0, 1, 0, 1]


@pytest.mark.slow
def test_ece_intervals_hold_the_truth_whether_or_not_there_is_a_gap() -> None:
    """The plug-in is biased upwards: of a calibrated model no interval may begin above 0."""
    from benchmarks.coverage import WORLDS, coverage, draw

    for name in ("calibrated", "too high"):
        world = WORLDS[name]
        _, clicks, predicted, _ = draw(100_000, world, np.random.default_rng(9))
        truth = calibration.ece(clicks, predicted) if world[1] else 0.0
        held = coverage(300, world, {"ece": truth}, 40, 0)
        assert held["ece"] >= 0.85, name
    random = np.random.default_rng(1)
    scores = random.random(4_000)
    labels = (random.random(4_000) < scores).astype(int)
    draws = UserBootstrap.draw(random.integers(0, 300, 4_000), replicates=200)
    own, off = (draws.metric("ece", labels, p) for p in (scores, np.sqrt(scores)))
    gap = draws.difference(own, off)
    assert own.low == 0.0
    assert off.low > 0.05
    assert gap.high < 0
    assert gap.value == pytest.approx(own.value - off.value)


def test_few_positives_have_no_interval_of_ece() -> None:
    random = np.random.default_rng(4)
    scores = np.full(4_000, 0.02) + random.random(4_000) / 100
    labels = (random.random(4_000) < scores).astype(int)
    draws = UserBootstrap.draw(np.arange(4_000) % 400, replicates=20)
    found = draws.metric("ece", labels, scores)
    assert 0 < labels.sum() < 150
    assert found.value > 0
    assert math.isnan(found.low)
    assert math.isnan(draws.difference(found, found).low)


def test_few_users_have_no_interval() -> None:
    random = np.random.default_rng(2)
    labels, scores = random.integers(0, 2, 5_000), random.random(5_000)
    for name in ("auc", "user_gauc", "user_mrr", "logloss", "pcoc", "ece"):
        fewest = FEWEST_USERS_INSIDE if name in (*PER_USER, "ece") else FEWEST_USERS
        for users in (fewest - 1, fewest):
            draws = UserBootstrap.draw(np.arange(5_000) % users, replicates=20)
            found = draws.metric(name, labels, scores)
            assert not math.isnan(found.value)
            assert math.isnan(found.low) == (users < fewest)
            assert math.isnan(draws.difference(found, found).high) == (users < fewest)
