"""An always-valid interval of a quantile, such as the p99 of latency.

At the true p-quantile x the indicators 1{X ≤ x} have mean p and variance p(1 − p). While their
average stays in the confidence sequence of a mean, x lies between the empirical quantiles at p ± h_t,
h_t the sequence's reach, at every t at once. The same inversion with other boundaries: Howard and
Ramdas, *Sequential estimation of quantiles with applications to A/B testing and best-arm
identification*, Bernoulli 2022, Theorem 1. Observations (requests) of one user are not independent:
the variance of the average is that of users' sums, as for every other ratio, and never less than
p(1 − p) an observation.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hemix.serving.experiments.statistics.confidence import boundary


@dataclass(frozen=True, kw_only=True)
class Quantile:
    """A quantile and its interval; ``high`` is infinite while there is too little data."""

    value: float
    low: float
    high: float


def quantile(
    values: ArrayLike, p: float, *, alpha: float, horizon: float, users: ArrayLike | None = None
) -> Quantile:
    """The ``p``-quantile of ``values`` ``[n]`` seen so far; all NaN and infinite without any.

    Args:
        values: ``[n]``, in any order.
        p: which quantile, ``(0, 1)``.
        alpha: error rate of the interval, over all looks together.
        horizon: number of values at which the interval is tightest.
        users: code of each value's user ``[n]``; None: each value is of a user of its own.
    """
    seen = np.asarray(values, dtype=np.float64)
    ordered = np.sort(seen)
    n = ordered.size
    if n == 0:
        return Quantile(value=float("nan"), low=-np.inf, high=np.inf)
    value = float(np.quantile(ordered, p))
    times = 1.0
    if users is not None:  # with many equal values the quantile may lie anywhere among them
        codes = np.asarray(users)
        times = max(_clustering(seen <= value, p, codes), _clustering(seen < value, p, codes))
    reach = float(boundary(n * times, alpha=alpha, horizon=horizon))
    reach *= np.sqrt(times * p * (1 - p) / n)
    if not np.isfinite(reach):
        return Quantile(value=value, low=-np.inf, high=np.inf)
    below, above = int(np.floor(n * (p - reach))), int(np.ceil(n * (p + reach)))
    return Quantile(
        value=value,
        low=float(ordered[below - 1]) if below >= 1 else -np.inf,
        high=float(ordered[above]) if above < n else np.inf,
    )


def _clustering(under: NDArray[np.bool_], p: float, users: NDArray[np.int64]) -> float:
    """How many times p(1 − p)/n the variance of the share ``under`` is, by user; at least 1."""
    codes = np.unique(users, return_inverse=True)[1]
    sums = np.bincount(codes, weights=under - p)
    if sums.size < 2:
        return float("inf")
    variance = sums.size / (sums.size - 1) * float(((sums - sums.mean()) ** 2).sum())
    return max(1.0, variance / (under.size * p * (1 - p)))
