"""Splits with a bug of 1 %, and without: does the test of the split find out?"""

from __future__ import annotations

from typing import Any

import numpy as np

from hemix.serving.experiments.statistics.effects import Floats
from hemix.serving.experiments.statistics.srm import log_evidence

USERS = 1_000_000
EXPERIMENTS = 500
BUG = 0.01
ALPHA = 0.001
LOOKS = 1_000


def split_study(seed: int, *, users: int = USERS, experiments: int = EXPERIMENTS) -> dict[str, Any]:
    """How often the sequential test speaks at a limit of :data:`ALPHA`, looked at :data:`LOOKS` times.

    Returns:
        For each bug ``detected`` and ``users_needed`` (median; of both arms), ``false_alarms`` of
        whole splits, and those of chi-square looked at just as often.
    """
    from scipy.stats import chi2

    rng = np.random.default_rng([seed, 7])
    step = users // LOOKS
    whole = _counts(rng, step, experiments, 0.5)
    total = whole.sum(-1)
    chi = ((whole - total[..., None] / 2) ** 2).sum(-1) / (total / 2)
    return {
        "users": users,
        "experiments": experiments,
        "limit": ALPHA,
        "assigned_wrongly": _found(_counts(rng, step, experiments, 0.5 * (1 - BUG)), step),
        "lost": _found(_counts(rng, step, experiments, 0.5 * (1 - BUG) / (1 - 0.5 * BUG)), step),
        "false_alarms": _found(whole, step)["detected"],
        "chi_square_false_alarms": float((chi > chi2.ppf(1 - ALPHA, 1)).any(1).mean()),
    }


def _found(counts: Floats, step: int) -> dict[str, float]:
    found = log_evidence(counts, (0.5, 0.5)) > -np.log(ALPHA)
    first = np.where(found.any(1), found.argmax(1) + 1.0, np.inf) * step
    median = float(np.median(first))
    return {
        "detected": float(found.any(1).mean()),
        "users_needed": median if np.isfinite(median) else -1.0,
    }


def _counts(rng: np.random.Generator, step: int, experiments: int, share: float) -> Floats:
    """Users of control and challenger so far ``[experiments, LOOKS, 2]``."""
    challenger = rng.binomial(step, share, size=(experiments, LOOKS))
    return np.cumsum(np.stack([step - challenger, challenger], axis=-1), axis=1).astype(float)
