"""No experiment is won or lost on the strength of a few users."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ab.large import Traffic, large_study
from hemix.serving.experiments.statistics.effects import Moments, compare, level
from hemix.serving.experiments.statistics.largest import too_large
from hemix.serving.experiments.statistics.quantiles import quantile

OPTIONS = {"alpha": 0.05, "horizon": 5_000.0}


def moments(number: np.ndarray, size: np.ndarray) -> Moments:
    rows = np.stack([np.ones(len(number)), number, size], axis=1)
    # Requests of one item each: n is 1 for the clicks.
    clicks, shown = number.sum(), size.sum()
    requests = np.array([[shown, clicks, shown], [clicks, clicks, clicks], [shown, clicks, shown]])
    return Moments(users=rows.T @ rows, requests=requests)


def arm(seed: int, *extra: tuple[float, float]) -> Moments:
    random = np.random.default_rng(seed)
    size = 3.0 * (1 + random.poisson(1.5, 1_000))
    number = random.binomial(size.astype(int), 0.45).astype(float)
    more = np.array(extra).reshape(-1, 2)
    return moments(np.concatenate([number, more[:, 0]]), np.concatenate([size, more[:, 1]]))


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("size", [300.0, 3_000.0, 60_000.0, 6e6])
@pytest.mark.parametrize("rate", [1.0, 0.0])
def test_few_users_alone_are_never_sure_however_much_they_make(
    count: int, size: float, rate: float
) -> None:
    bots = [(rate * size, size)] * count
    for arms in ((arm(1), arm(2, *bots)), (arm(1, *bots), arm(2))):
        for scale in ("relative", "absolute"):
            found = compare(*arms, scale=scale, **OPTIONS)  # type: ignore[arg-type]
            assert found.low <= 0 <= found.high


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("value", [1e3, 1e6])
def test_few_large_values_are_never_sure(count: int, value: float) -> None:
    whales = [(value, 3.0)] * count
    found = compare(arm(1), arm(2, *whales), scale="relative", **OPTIONS)  # type: ignore[arg-type]
    assert found.low <= 0 <= found.high
    _, low, high = level(arm(2, *whales), **OPTIONS)
    assert low <= 0.45 <= high


def test_few_observed_values_do_not_make_a_model_miscalibrated() -> None:
    random = np.random.default_rng(3)
    predicted = random.uniform(0.4, 0.5, 1_000)
    observed = (random.random(1_000) < predicted).astype(float)
    for count in (1, 2, 5):
        numbers = np.concatenate([predicted, np.full(count, 4_000.0)])
        sizes = np.concatenate([observed, np.full(count, 10_000.0)])
        own = moments(numbers, sizes)
        _, low, high = level(Moments(users=own.users, requests=own.users), **OPTIONS)
        assert low <= 1 <= high
    once = moments(2 * predicted, observed)
    _, low, high = level(Moments(users=once.users, requests=once.users), **OPTIONS)
    assert low > 1.7
    assert high < 2.3


def test_one_slow_user_is_not_a_slow_variant() -> None:
    random = np.random.default_rng(0)
    quick, slow = random.gamma(4, 5, 20_000), np.full(400, 1_000.0)
    values, users = (
        np.concatenate([quick, slow]),
        np.concatenate([np.arange(20_000), np.full(400, -1)]),
    )
    one = quantile(values, 0.99, users=users, **OPTIONS)
    many = quantile(values, 0.99, **OPTIONS)
    assert one.value == many.value == 1_000
    assert one.low < 100 < many.low
    own = quantile(quick, 0.99, users=np.arange(20_000), **OPTIONS)
    assert own == quantile(quick, 0.99, **OPTIONS)


def test_who_is_too_large_is_told_by_exposures_and_by_arm() -> None:
    amounts = np.full((2_000, 2), 3.0)
    arms = np.arange(2_000) % 2
    assert not too_large(amounts, arms, share=0.01).any()
    amounts[3, 0] = 40_000  # requests
    amounts[5, 1] = 200  # candidates
    amounts[7, 0] = 31  # more than 1 % of what is left without user 3
    amounts[4] = 29
    assert np.flatnonzero(too_large(amounts, arms, share=0.01)).tolist() == [3, 5, 7]
    few = np.full((20, 1), 2.0)
    assert not too_large(few, np.zeros(20, dtype=np.int64), share=0.01).any()


@pytest.mark.slow
def test_null_experiments_with_large_users_stay_null_and_real_effects_are_found() -> None:
    worlds = {
        "one makes 80%": Traffic(users=600, bots=1, share=0.8),
        "Zipf": Traffic(users=600, tail=1.8),
    }
    rates = large_study(3, nulls=20, worlds=worlds, told=lambda _: None)
    assert all(rate["any"] <= 0.1 for rate in rates.values())  # one of 20 and its noise
    lift = {"a lift": Traffic(users=1_500, bots=1, share=0.8, lift=0.4)}
    assert large_study(3, nulls=5, worlds=lift, told=lambda _: None)["a lift"]["effect"] == 1.0
