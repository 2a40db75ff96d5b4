"""How well a user's rows are ordered among themselves: GAUC, NDCG, MRR and hit rate within a user.

An endpoint orders the candidates of one user at one moment, so ``scores`` must be of **one state a
user**: all of a user's rows scored with the counters and sequences of one moment
(:mod:`hemix.features.shared_state`). Scored each with its own live state they do not measure an order
that is ever made: a state grows with the very labels that are judged, and among users with both labels
a positive in the past makes one later less likely, so that the user's own running rate orders against
the label whatever the model (docs/within-a-user.md).

A user whose labels are alike has no order to judge and is left out;
:func:`hemix.models.metrics.per_request.ordered` counts those that stay. Rows with one score share
their ranks (GAUC: half a win; the others: the mean over all orders of them), so the order of rows
changes nothing.

Sources: Zhou et al., Deep Interest Network, KDD 2018, eq. 6 (GAUC, weights = impressions); of the
others see :mod:`hemix.models.metrics.per_request`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from hemix.models.metrics.per_request import PER_REQUEST, per_request
from hemix.models.metrics.pointwise import Floats, grouped_auc

GAUC = "user_gauc"
PER_USER = (GAUC, *(f"user_{name}" for name in PER_REQUEST))


def per_user(
    name: str, labels: ArrayLike, scores: ArrayLike, users: ArrayLike
) -> tuple[Floats, Floats]:
    """One of :data:`PER_USER` of each user, and what the user weighs in the mean; ``[U]`` each.

    GAUC weighs users by their rows (impressions), the others weigh all alike. NaN where a user's
    labels are alike: the mean leaves those out.

    Args:
        name: which one.
        labels: 0 or 1 ``[B]``.
        scores: ``[B]`` of one state a user, higher is surer.
        users: codes ``[B]`` in ``[0, U)``, in any order.

    Raises:
        ValueError: a score is no number.
    """
    if name == GAUC:
        return grouped_auc(labels, scores, users)
    values = per_request(name.removeprefix("user_"), labels, scores, users)
    return values, np.ones_like(values)


def within_user(name: str, labels: ArrayLike, scores: ArrayLike, users: ArrayLike) -> float:
    """The mean of :func:`per_user` over users with both labels; NaN without one.

    Args:
        name: one of :data:`PER_USER`.
        labels: 0 or 1 ``[B]``.
        scores: ``[B]`` of one state a user, higher is surer.
        users: codes ``[B]`` in ``[0, U)``, in any order.

    Raises:
        ValueError: a score is no number.
    """
    values, weights = per_user(name, labels, scores, users)
    known = ~np.isnan(values)
    return float(np.average(values[known], weights=weights[known])) if known.any() else float("nan")
