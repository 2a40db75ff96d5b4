"""Users who make too much of an arm: a crawler, a load test, a synthetic monitor.

Intervals by user hold while no user dominates. Who makes more than a share of an arm's requests, or
of its candidates, is left out of metrics and guardrails. Only exposures are looked at, so the rule
does not depend on what any user did; the split still counts them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hemix.serving.experiments.statistics.effects import Floats
from hemix.serving.experiments.statistics.moments import Codes

Bools = NDArray[np.bool_]
TIMES = 5.0
"""A user is never too large with less than this many times the mean of the arm: in an arm of few
users everyone has a large share."""


def too_large(amounts: Floats, arms: Codes, *, share: float) -> Bools:
    """Which users ``[U]`` make more than ``share`` of their arm, those that are too large not counted.

    Args:
        amounts: what each user made, a column a kind (requests, candidates) ``[U, K]``.
        arms: arm of each user ``[U]``.
        share: share of its arm's total above which a user is too large.
    """
    out = np.zeros(len(arms), dtype=np.bool_)
    for arm in np.unique(arms):
        own = np.flatnonzero(arms == arm)
        while True:
            kept = own[~out[own]]
            found = [kept[_first(amounts[kept, kind], share)] for kind in range(amounts.shape[1])]
            if not any(part.size for part in found):
                break
            out[np.concatenate(found)] = True
    return out


def _first(amounts: Floats, share: float) -> Codes:
    """The fewest largest entries after which no entry is too large among the rest."""
    order = np.argsort(-amounts, kind="stable")
    sorted_ = amounts[order]
    rest = np.cumsum(sorted_[::-1])[::-1]
    left = np.arange(len(order), 0, -1)
    fits = sorted_ <= np.maximum(share, TIMES / left) * rest
    return np.asarray(order[: int(np.argmax(fits))] if fits.any() else order, dtype=np.int64)
