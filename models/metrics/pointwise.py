"""Offline metrics of probability scores. All take 1-D arrays of the same length ``[B]``.

``labels`` are 0 or 1, ``scores`` probabilities in ``[0, 1]`` (ranking metrics take any finite
number), ``groups`` int64 codes ``[0, G)``. A metric that the sample cannot define is NaN;
:func:`undefined` says why.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
EPSILON = 1e-7
"""Probabilities are clipped to ``[EPSILON, 1 - EPSILON]`` before a logarithm."""


def undefined(labels: ArrayLike) -> str:
    """Why metrics that need both classes are NaN on ``labels``; empty when they are defined."""
    labels = np.asarray(labels)
    if labels.size == 0:
        return "no rows"
    positives = int((labels > 0).sum())
    if positives == 0:
        return "one class: every label is 0"
    return "one class: every label is 1" if positives == labels.size else ""


def auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Area under the ROC curve, ties count one half; NaN with one class.

    AUC = P(score of a positive > score of a negative) + P(equal) / 2.
    """
    from sklearn.metrics import roc_auc_score

    labels = np.asarray(labels)
    return float("nan") if undefined(labels) else float(roc_auc_score(labels, scores))


def grouped_auc(labels: ArrayLike, scores: ArrayLike, groups: ArrayLike) -> tuple[Floats, Floats]:
    """AUC inside each group, without a loop.

    Args:
        labels: 0 or 1 ``[B]``.
        scores: ``[B]``, higher is surer.
        groups: codes ``[B]`` in ``[0, G)``.

    Returns:
        ``(auc [G], rows [G])``; a group with one class has AUC NaN.

    Raises:
        ValueError: a score is no number.
    """
    labels_B = np.asarray(labels, dtype=np.float64)
    scores_B = np.asarray(scores, dtype=np.float64)
    groups_B = np.asarray(groups, dtype=np.int64)
    if labels_B.size == 0:
        return np.zeros(0), np.zeros(0)
    if np.isnan(scores_B).any():
        raise ValueError(f"{int(np.isnan(scores_B).sum())} scores are no numbers")
    order = np.lexsort((scores_B, groups_B))
    labels_B, scores_B, groups_B = labels_B[order], scores_B[order], groups_B[order]
    rows_G = np.bincount(groups_B).astype(np.float64)
    positives_G = np.bincount(groups_B, weights=labels_B)
    first_G = np.cumsum(rows_G) - rows_G
    # Rows of one group with one score form a run and share the run's mean rank.
    starts = np.ones(labels_B.size, dtype=bool)
    starts[1:] = (groups_B[1:] != groups_B[:-1]) | (scores_B[1:] != scores_B[:-1])
    run_B = np.cumsum(starts) - 1
    begin = np.flatnonzero(starts)
    end = np.append(begin[1:], labels_B.size)
    rank_B = ((begin + end + 1) / 2)[run_B] - first_G[groups_B]
    rank_sum_G = np.bincount(groups_B, weights=rank_B * labels_B, minlength=rows_G.size)
    pairs_G = positives_G * (rows_G - positives_G)
    wins_G = rank_sum_G - positives_G * (positives_G + 1) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(pairs_G > 0, wins_G / pairs_G, np.nan), rows_G


def gauc(labels: ArrayLike, scores: ArrayLike, users: ArrayLike) -> float:
    """AUC inside each user, averaged with weights = impressions, users with both classes only.

    Of scores of one state a user: :mod:`hemix.models.metrics.within_user`.

    Source: Zhou et al., Deep Interest Network, KDD 2018, eq. 6 (impression weights).
    """
    return _weighted(*grouped_auc(labels, scores, users))


def impression_auc(labels: ArrayLike, scores: ArrayLike, requests: ArrayLike) -> float:
    """Plain mean of the AUC inside each request (impression) that has both classes."""
    values, rows = grouped_auc(labels, scores, requests)
    return _weighted(values, np.ones_like(rows))


def _weighted(values: Floats, weights: Floats) -> float:
    keep = ~np.isnan(values) & (weights > 0)
    return float(np.average(values[keep], weights=weights[keep])) if keep.any() else float("nan")


def row_logloss(labels: ArrayLike, scores: ArrayLike) -> Floats:
    """Cross-entropy of each row ``[B]``, nats."""
    labels_B = np.asarray(labels, dtype=np.float64)
    scores_B = np.clip(np.asarray(scores, dtype=np.float64), EPSILON, 1 - EPSILON)
    return -(labels_B * np.log(scores_B) + (1 - labels_B) * np.log1p(-scores_B))


def logloss(labels: ArrayLike, scores: ArrayLike) -> float:
    """Mean cross-entropy, nats; NaN without rows."""
    rows = row_logloss(labels, scores)
    return float(rows.mean()) if rows.size else float("nan")


def entropy(rate: ArrayLike) -> Floats:
    """Entropy of a 0/1 variable with the given mean, nats; NaN where it is 0 or 1."""
    rate = np.asarray(rate, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return -(rate * np.log(rate) + (1 - rate) * np.log1p(-rate))


def normalized_entropy(labels: ArrayLike, scores: ArrayLike) -> float:
    """Log loss over the log loss of always saying the base rate; below 1 is better than that.

    Source: He et al., Practical Lessons from Predicting Clicks on Ads at Facebook, 2014, eq. 1.
    """
    if undefined(labels):
        return float("nan")
    return logloss(labels, scores) / float(entropy(np.mean(np.asarray(labels, dtype=np.float64))))


def pcoc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Predicted clicks over observed clicks, 1 when calibrated; NaN without a positive."""
    positives = float(np.sum(np.asarray(labels, dtype=np.float64)))
    return float(np.sum(np.asarray(scores, dtype=np.float64))) / positives if positives else np.nan


def conditional(scores: Mapping[str, ArrayLike], task: str, parent: str) -> Floats:
    """``P(task | parent)`` ``[B]`` of a task within another, from the probabilities of both.

    ``scores[task]`` is the probability of both together (:mod:`hemix.models.layers.task_outputs`); at most 1.
    """
    both, one = (np.asarray(scores[name], dtype=np.float64) for name in (task, parent))
    return np.minimum(both / np.maximum(one, 1e-12), 1.0)
