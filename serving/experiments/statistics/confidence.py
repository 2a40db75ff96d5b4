"""Asymptotic confidence sequences: intervals that hold at every look at once.

Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, *Time-uniform central limit theory and asymptotic
confidence sequences*, Annals of Statistics 2024 (arXiv 2103.06476), Theorem 2.2, two-sided: after t
observations the mean lies in

    X̄_t ± σ̂_t √( 2(tρ² + 1) / (t²ρ²) · log( √(tρ² + 1) / α ) ),

so the interval is the estimate plus or minus :func:`boundary` standard errors σ̂_t/√t. ρ > 0 says
where the sequence is tightest and must not depend on the data: see :func:`tuning`.

**Clock.** In the paper t counts independent observations. Users come back, so the variance of an
estimate by user grows without new users. ``time`` here is therefore the intrinsic time V_t/σ², the
accumulated variance in units of one observation's, as in Robbins' mixture for a process with
variance V_t (Howard et al., Annals of Statistics 2021, section 3.2); it equals t when observations
are independent. What a user adds later is positively correlated with what the user did before, and
by Slepian's inequality such a process crosses the boundary no more often than one with independent
increments and the same variances. ``benchmarks/experiments.py`` measures both kinds of traffic.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


def tuning(alpha: float, horizon: float) -> float:
    """ρ² that makes the sequence tightest at intrinsic time ``horizon``.

    With x = horizon·ρ² the squared boundary (1 + 1/x)·log((1 + x)/α²) is least where
    x = log((1 + x)/α²), that is x = −W₋₁(−α²/e) − 1 (the paper's appendix on choosing ρ).
    """
    from scipy.special import lambertw

    if not 0 < alpha < 1 or not horizon > 0:
        raise ValueError(f"alpha {alpha} must be in (0, 1) and horizon {horizon} above 0")
    lowest = -(alpha**2) / math.e
    return float(-lambertw(lowest, k=-1).real - 1) / horizon


def boundary(time: ArrayLike, *, alpha: float, horizon: float) -> Floats:
    """Standard errors on either side of the estimate at intrinsic ``time`` [...]; inf at time 0."""
    scaled = np.asarray(time, dtype=np.float64) * tuning(alpha, horizon)
    with np.errstate(divide="ignore", invalid="ignore"):
        squared = (1 + 1 / scaled) * (np.log1p(scaled) - 2 * math.log(alpha))
        return np.where(scaled > 0, np.sqrt(squared), np.inf)
