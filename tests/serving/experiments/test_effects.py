from __future__ import annotations

import numpy as np
import pytest

from hemix.serving.experiments.statistics.effects import Floats, Moments, compare, level
from hemix.serving.experiments.statistics.moments import looks, moments_at
from hemix.serving.experiments.statistics.quantiles import quantile

HORIZON = 5_000.0


def moments(rows: Floats, requests: Floats | None = None) -> Moments:
    """Rows (N, D, covariates...) of users; a user is one request unless said otherwise."""
    whole = np.concatenate([np.ones((len(rows), 1)), rows], axis=1)
    single = whole[:, :3] if requests is None else requests
    return Moments(users=whole.T @ whole, requests=single.T @ single)


def population(seed: int, users: int, lift: float = 0.0) -> tuple[Floats, Floats]:
    """(N, D, covariate) of two arms; the covariate explains part of the click rate."""
    rng = np.random.default_rng(seed)
    arms = []
    for extra in (0.0, lift):
        rate = rng.beta(4, 5, users)
        sizes = 1.0 + rng.poisson(3, users)
        clicks = rng.binomial(sizes.astype(int), np.minimum(rate * (1 + extra), 1)).astype(float)
        arms.append(np.stack([clicks, sizes, rate + rng.normal(0, 0.05, users)], axis=1))
    return arms[0], arms[1]


def test_the_standard_error_is_that_of_a_bootstrap_over_users() -> None:
    control, treatment = population(0, 1_500)
    found = compare(
        moments(control), moments(treatment), scale="absolute", alpha=0.05, horizon=HORIZON
    )
    rng = np.random.default_rng(1)

    def ratio(rows: Floats) -> float:
        again = rows[rng.integers(0, len(rows), len(rows))]
        return float(again[:, 0].sum() / again[:, 1].sum())

    spread = np.std([ratio(treatment) - ratio(control) for _ in range(1_500)])
    assert float(found.error) == pytest.approx(spread, rel=0.06)
    assert float(found.effect) == pytest.approx(float(found.treatment - found.control))


def test_impressions_of_one_user_are_not_independent() -> None:
    """Taking impressions for users would give half the width: the user is the unit."""
    rng = np.random.default_rng(0)
    rate = rng.beta(0.5, 0.5, 2_000)
    rows = [
        np.stack([rng.binomial(20, r), np.full(1_000, 20.0)], 1) for r in (rate[:1000], rate[1000:])
    ]
    found = compare(
        moments(rows[0]), moments(rows[1]), scale="absolute", alpha=0.05, horizon=HORIZON
    )
    naive = np.sqrt(2 * 0.25 / 20_000)
    assert float(found.error) > 3 * naive


def test_relative_and_absolute_agree_on_small_effects() -> None:
    control, treatment = population(2, 20_000, lift=0.02)
    relative, absolute = (
        compare(moments(control), moments(treatment), scale=scale, alpha=0.05, horizon=HORIZON)
        for scale in ("relative", "absolute")
    )
    assert float(relative.effect) == pytest.approx(
        float(absolute.effect / absolute.control), rel=1e-9
    )
    assert float(relative.low) == pytest.approx(float(absolute.low / absolute.control), abs=2e-3)


def test_cuped_is_least_squares_and_takes_variance_off() -> None:
    control, treatment = population(3, 8_000, lift=0.05)
    plain, adjusted = (
        compare(
            moments(control),
            moments(treatment),
            scale="absolute",
            alpha=0.05,
            horizon=HORIZON,
            adjust=a,
        )
        for a in (False, True)
    )
    # By hand: z = (N − R·D)/D̄ in each arm, regressed on the covariate less its arm's mean.
    z, c = [], []
    for rows in (control, treatment):
        ratio = rows[:, 0].sum() / rows[:, 1].sum()
        z.append((rows[:, 0] - ratio * rows[:, 1]) / rows[:, 1].mean())
        c.append(rows[:, 2] - rows[:, 2].mean())
    theta = np.linalg.lstsq(np.concatenate(c)[:, None], np.concatenate(z), rcond=None)[0][0]
    shift = theta * (treatment[:, 2].mean() - control[:, 2].mean())
    assert float(adjusted.effect) == pytest.approx(float(plain.effect) - shift, rel=1e-9)
    kept = sum(np.var(a - theta * b) / len(a) for a, b in zip(z, c, strict=True))
    whole = sum(np.var(a) / len(a) for a in z)
    assert float(adjusted.variance_kept) == pytest.approx(kept / whole, rel=1e-9)
    assert float(adjusted.variance_kept) < 0.85
    assert float(plain.variance_kept) == 1.0


def test_a_constant_covariate_changes_nothing() -> None:
    control, treatment = population(4, 500)
    rows = [np.concatenate([r[:, :2], np.ones((500, 1))], axis=1) for r in (control, treatment)]
    plain, adjusted = (
        compare(
            moments(rows[0]),
            moments(rows[1]),
            scale="relative",
            alpha=0.05,
            horizon=HORIZON,
            adjust=a,
        )
        for a in (False, True)
    )
    assert float(adjusted.effect) == pytest.approx(float(plain.effect))
    assert float(adjusted.high) == pytest.approx(float(plain.high))


def test_the_clock_counts_requests_when_they_are_independent() -> None:
    rng = np.random.default_rng(5)
    rows = [np.stack([rng.random(4_000) < 0.4, np.ones(4_000)], axis=1).astype(float) for _ in "ab"]
    found = compare(
        moments(rows[0]), moments(rows[1]), scale="relative", alpha=0.05, horizon=HORIZON
    )
    assert float(found.time) == pytest.approx(8_000, rel=0.01)


def test_no_errors_yet_are_not_certainty() -> None:
    rows = np.stack([np.zeros(1_000), np.full(1_000, 3.0)], axis=1)
    found = compare(
        moments(rows), moments(rows), scale="absolute", alpha=0.05, horizon=HORIZON, floor=1.0
    )
    assert float(found.effect) == 0.0
    assert 1 / 3_000 < float(found.high) < 10 / 3_000


def test_without_users_or_events_the_interval_is_open() -> None:
    nothing = moments(np.zeros((0, 2)))
    found = compare(nothing, nothing, scale="relative", alpha=0.05, horizon=HORIZON)
    assert np.isinf(found.high)
    assert float(found.low) in (-1.0, -np.inf)
    _, low, high = level(nothing, alpha=0.05, horizon=HORIZON)
    assert (float(low), float(high)) == (0.0, np.inf)


def test_a_level_holds_the_true_ratio() -> None:
    control, _ = population(6, 3_000)
    ratio, low, high = level(moments(control), alpha=0.05, horizon=HORIZON)
    assert low < 4 / 9 < high
    assert float(ratio) == pytest.approx(control[:, 0].sum() / control[:, 1].sum())


def test_many_experiments_at_once_are_each_of_them_alone() -> None:
    pairs = [population(seed, 300) for seed in range(3)]
    stacked = [
        Moments(
            users=np.stack([moments(p[arm]).users for p in pairs]),
            requests=np.stack([moments(p[arm]).requests for p in pairs]),
        )
        for arm in (0, 1)
    ]
    together = compare(*stacked, scale="relative", alpha=0.05, horizon=HORIZON, adjust=True)
    for number, (control, treatment) in enumerate(pairs):
        alone = compare(
            moments(control),
            moments(treatment),
            scale="relative",
            alpha=0.05,
            horizon=HORIZON,
            adjust=True,
        )
        assert together.low[number] == pytest.approx(float(alone.low))


def test_sums_over_looks_are_those_of_the_requests_so_far() -> None:
    rng = np.random.default_rng(7)
    users, arms = rng.integers(0, 40, 500), rng.integers(0, 2, 40)
    numbers, sizes = rng.random(500), (rng.random(500) < 0.7).astype(float)
    cuts = looks(500, 7)
    assert cuts[-1] == 500
    steps = moments_at(cuts, users=users, arms=arms, numbers=numbers * sizes, sizes=sizes)
    for cut, found in zip(cuts, steps, strict=True):
        for arm in (0, 1):
            own = arms[users[:cut]] == arm
            came = np.unique(users[:cut][own])
            assert found[arm].count == len(came)
            assert found[arm].users[0, 1] == pytest.approx((numbers * sizes)[:cut][own].sum())
            assert found[arm].requests[0, 0] == sizes[:cut][own].sum()


@pytest.mark.slow
def test_a_quantiles_interval_holds_the_true_one_at_every_look() -> None:
    rng = np.random.default_rng(8)
    true = -np.log(0.01)
    missed = 0
    for _ in range(100):
        times = rng.exponential(1.0, 20_000)
        found = [
            quantile(times[:n], 0.99, alpha=0.05, horizon=10_000) for n in range(500, 20_001, 500)
        ]
        missed += any(not q.low <= true <= q.high for q in found)
        assert found[-1].high < 6.5
    assert missed <= 5


def test_a_quantile_of_little_data_is_open_above() -> None:
    found = quantile(np.arange(50.0), 0.99, alpha=0.05, horizon=1_000)
    assert found.high == np.inf
    assert np.isnan(quantile([], 0.99, alpha=0.05, horizon=1_000).value)
