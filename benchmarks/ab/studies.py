"""Many experiments over one population at once: random halves, moments at every look, judgements.

An experiment is a random half of the users. Its moments at a look are sums over users of products
of that look's columns, so those of all experiments are one matrix product.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from hemix.serving.experiments.statistics.effects import Effect, Floats, Moments, compare
from hemix.serving.experiments.statistics.preperiod import covariates

Bools = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Columns:
    """A look: for control and treatment, what each user would have done so far.

    ``control``, ``treatment``: (came, N, D, covariates...) ``[U, 3 + C]``; ``*_requests``: sums over
    the user's requests of the products of (1, n, d), flattened, ``[U, 9]``.
    """

    control: Floats
    treatment: Floats
    control_requests: Floats
    treatment_requests: Floats


@dataclass(frozen=True, kw_only=True)
class Study:
    """Judgements ``[experiments, looks]``: whether zero lies outside the interval."""

    found: Bools
    found_cuped: Bools
    t_found: Bools


CHUNK = 250
"""Experiments at a time, for memory."""


def study(
    looks: Callable[[], Iterable[Columns]],
    experiments: int,
    rng: np.random.Generator,
    *,
    alpha: float,
    horizon: float,
) -> Study:
    """Judge that many experiments, each a random half of the users, at every look."""
    parts = []
    for begin in range(0, experiments, CHUNK):
        size = min(CHUNK, experiments - begin)
        parts.append(judge(_moments_of(looks(), size, rng), alpha, horizon=horizon))
    return Study(
        **{
            field.name: np.concatenate([getattr(part, field.name) for part in parts])
            for field in fields(Study)
        }
    )


def _moments_of(
    looks: Iterable[Columns], experiments: int, rng: np.random.Generator
) -> Iterator[tuple[Moments, Moments]]:
    """Moments of both arms of each experiment, look by look; users keep their arm."""
    halves: Floats | None = None
    for look in looks:
        if halves is None:
            halves = (rng.random((experiments, len(look.control))) < 0.5).astype(np.float64)
        control = _products(look.control, look.control_requests)
        own = halves @ control
        if look.treatment is not look.control:
            treatment = halves @ _products(look.treatment, look.treatment_requests)
        else:
            treatment = own
        size = look.control.shape[1]
        yield _moments(control.sum(0) - own, size), _moments(treatment, size)


def _products(rows: Floats, requests: Floats) -> Floats:
    first, second = np.triu_indices(rows.shape[1])
    came = rows[:, :1]
    return np.concatenate([rows[:, first] * rows[:, second] * came, requests * came], axis=1)


def _moments(sums: Floats, size: int) -> Moments:
    first, second = np.triu_indices(size)
    whole = np.empty((len(sums), size, size))
    whole[:, first, second] = sums[:, : len(first)]
    whole[:, second, first] = sums[:, : len(first)]
    return Moments(users=whole, requests=sums[:, len(first) :].reshape(-1, 3, 3))


def judge(looks: Iterable[tuple[Moments, Moments]], alpha: float, *, horizon: float) -> Study:
    """Look at every experiment at every look, with the sequence and with a t-test."""
    from scipy.stats import t as student

    found, cuped, tested = [], [], []
    for control, treatment in looks:
        plain, adjusted = (
            compare(
                control, treatment, scale="relative", alpha=alpha, horizon=horizon, adjust=adjust
            )
            for adjust in (False, True)
        )
        found.append(_beyond(plain))
        cuped.append(_beyond(adjusted))
        degrees = np.maximum(control.count + treatment.count - 2, 1)
        score = np.abs(np.log1p(plain.effect)) / plain.error
        tested.append(score > student.ppf(1 - alpha / 2, degrees))
    return Study(
        found=np.stack(found, axis=1),
        found_cuped=np.stack(cuped, axis=1),
        t_found=np.stack(tested, axis=1),
    )


def _beyond(effect: Effect) -> Bools:
    return np.asarray((effect.low > 0) | (effect.high < 0))


def simulated_columns(
    rng: np.random.Generator, *, users: int, looks: int
) -> tuple[Callable[[], Iterator[Columns]], int]:
    """Users who come once: 1 + Poisson impressions each, a click rate of their own, a pre-period."""
    rate = rng.beta(4.0, 5.0, users)
    sizes = 1.0 + rng.poisson(4.0, users)
    clicks = rng.binomial(sizes.astype(np.int64), rate).astype(np.float64)
    before = rng.poisson(6.0, users)
    known = covariates(rng.binomial(before, rate), before)
    ones = np.ones(users)
    rows = np.concatenate([np.stack([ones, clicks, sizes], axis=1), known], axis=1)
    # An impression: n is the click, d is 1.
    requests = np.stack(
        [sizes, clicks, sizes, clicks, clicks, clicks, sizes, clicks, sizes], axis=1
    )

    def columns() -> Iterator[Columns]:
        for look in range(1, looks + 1):
            here = np.arange(users) < users * look / looks
            now = rows * here[:, None]
            yield Columns(
                control=now, treatment=now, control_requests=requests, treatment_requests=requests
            )

    return columns, int(sizes.sum())
