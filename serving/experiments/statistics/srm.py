"""Sample ratio mismatch: are the arms as large as they should be? Asked before anything else.

Counts are of users, the unit that is assigned. :func:`chi_square` is valid for one look;
:func:`sequential` for as many as one likes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

CONCENTRATIONS = (100.0, 1_000.0, 10_000.0)
"""Weights of the planned shares in the mixture, in users, one third each: deviations of about
√(share(1 − share)/weight), 5, 1.6 and 0.5 points at 50 %, are found soonest. One weight alone is
either blind to small mistakes among many users or slow to see large ones among few."""


@dataclass(frozen=True, kw_only=True)
class Mismatch:
    """The verdict on the split.

    ``p_value`` is always valid: the smallest seen in the order in which users came. ``fixed_p_value``
    is chi-square's, for whoever looks only now. ``users`` and ``planned`` have one entry per arm.
    """

    users: tuple[int, ...]
    planned: tuple[float, ...]
    p_value: float
    fixed_p_value: float
    alpha: float

    @property
    def found(self) -> bool:
        """The arms are not as planned."""
        return self.p_value < self.alpha


def chi_square(counts: ArrayLike, shares: ArrayLike) -> float:
    """Chi-square p-value of ``counts`` [K] against planned ``shares`` [K]; 1 without users."""
    from scipy.stats import chisquare

    counts_K = np.asarray(counts, dtype=np.float64)
    shares_K = np.asarray(shares, dtype=np.float64)
    total = counts_K.sum()
    return float(chisquare(counts_K, total * shares_K / shares_K.sum()).pvalue) if total else 1.0


def log_evidence(
    counts: ArrayLike, shares: ArrayLike, *, concentrations: Sequence[float] = CONCENTRATIONS
) -> Floats:
    """Logarithm of the Bayes factor against the planned shares, for counts ``[..., K]``.

    A mixture over all splits with mean at the planned one: under the plan it is a martingale that
    starts at 1, so it ever reaches 1/α with probability at most α (Ville). Source: Lindon and Malek,
    *Anytime-Valid Inference for Multinomial Count Data*, NeurIPS 2022, section 3, for a Dirichlet:

        O_n = B(kθ₀ + x) / B(kθ₀) · ∏ θ₀ⱼ^(−xⱼ),  B the multivariate beta function;

    here the mean of O_n over several k, which is a martingale too.
    """
    from scipy.special import gammaln, logsumexp

    x = np.asarray(counts, dtype=np.float64)
    shares_K = np.asarray(shares, dtype=np.float64)
    shares_K = shares_K / shares_K.sum()
    total = x.sum(-1)
    parts = []
    for concentration in concentrations:
        prior_K = concentration * shares_K
        after = gammaln(prior_K + x).sum(-1) - gammaln(concentration + total)
        before = gammaln(prior_K).sum() - gammaln(concentration)
        parts.append(after - before)
    mean = logsumexp(parts, axis=0) - np.log(len(parts))
    return np.asarray(mean - (x * np.log(shares_K)).sum(-1))


def sequential(
    arms: ArrayLike,
    shares: ArrayLike,
    *,
    alpha: float = 0.001,
    concentrations: Sequence[float] = CONCENTRATIONS,
) -> Mismatch:
    """Test the split after every user.

    Args:
        arms: code of the arm of each user, in the order in which they first came, ``[U]``.
        shares: planned share of each arm ``[K]``.
        alpha: error rate of the test, over all looks together.
        concentrations: weights of the planned shares in the mixture, in users.
    """
    codes_U = np.asarray(arms, dtype=np.int64)
    shares_K = np.asarray(shares, dtype=np.float64)
    counts_UK = np.cumsum(codes_U[:, None] == np.arange(len(shares_K)), axis=0)
    evidence = log_evidence(counts_UK, shares_K, concentrations=concentrations)
    highest = max(float(evidence.max()), 0.0) if codes_U.size else 0.0
    users_K = counts_UK[-1] if codes_U.size else np.zeros(len(shares_K), dtype=np.int64)
    return Mismatch(
        users=tuple(int(n) for n in users_K),
        planned=tuple(float(s) for s in shares_K / shares_K.sum()),
        p_value=float(np.exp(-highest)),
        fixed_p_value=chi_square(users_K, shares_K),
        alpha=alpha,
    )
