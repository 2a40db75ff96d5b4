"""An always-valid interval of a quantile, such as the p99 of latency.

At the true p-quantile x the indicators 1{X ≤ x} have mean p and variance p(1 − p). While their
average stays in the confidence sequence of a mean, x lies between the empirical quantiles at p ± h_t,
h_t the sequence's reach, at every t at once. The same inversion with other boundaries: Howard and
Ramdas, *Sequential estimation of quantiles with applications to A/B testing and best-arm
identification*, Bernoulli 2022, Theorem 1. Observations (requests) are taken as independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from serving.experiments.confidence import boundary


@dataclass(frozen=True, kw_only=True)
class Quantile:
    """A quantile and its interval; ``high`` is infinite while there is too little data."""

    value: float
    low: float
    high: float


def quantile(values: ArrayLike, p: float, *, alpha: float, horizon: float) -> Quantile:
    """The ``p``-quantile of ``values`` ``[n]`` seen so far; all NaN and infinite without any."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    n = ordered.size
    if n == 0:
        return Quantile(value=float("nan"), low=-np.inf, high=np.inf)
    reach = float(boundary(n, alpha=alpha, horizon=horizon)) * np.sqrt(p * (1 - p) / n)
    below, above = int(np.floor(n * (p - reach))), int(np.ceil(n * (p + reach)))
    return Quantile(
        value=float(np.quantile(ordered, p)),
        low=float(ordered[below - 1]) if below >= 1 else -np.inf,
        high=float(ordered[above]) if above < n else np.inf,
    )
