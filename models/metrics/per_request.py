"""How well the candidates of one request are ordered: NDCG, MRR and hit rate.

Candidates with one score are in no order: each metric is the mean over all orders of them, so that
neither the order of rows nor a model that says the same of everything is rewarded. Requests in which
all labels are alike are left out: every order of them is as good (:func:`ordered` counts the rest).

Sources: Järvelin and Kekäläinen, Cumulated gain-based evaluation of IR techniques, ACM TOIS 2002
(gain 1 for a positive, discount ``1 / log2(rank + 1)``); McSherry and Najork, Computing information
retrieval performance measures efficiently in the presence of tied scores, ECIR 2008 (ties).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hemix.models.metrics.pointwise import Codes, Floats

NDCG_AT = 10
HIT_AT = 1
PER_REQUEST = (f"ndcg_at_{NDCG_AT}", "mrr", f"hit_rate_at_{HIT_AT}")


def per_request(name: str, labels: ArrayLike, scores: ArrayLike, requests: ArrayLike) -> Floats:
    """One of :data:`PER_REQUEST` of each request ``[G]``; NaN where all labels are alike.

    ``ndcg_at_K``: discounted gain of the first K over that of the best order. ``mrr``: one over the
    rank of the first positive. ``hit_rate_at_K``: 1 when a positive is among the first K.

    Args:
        name: which one.
        labels: 0 or 1 ``[B]``.
        scores: ``[B]``, higher is surer.
        requests: codes ``[B]`` in ``[0, G)``, in any order.

    Raises:
        ValueError: a score is no number.
    """
    runs = _Runs.of(labels, scores, requests)
    if not runs.size_G.size:
        return np.zeros(0)
    found = runs.ndcg(NDCG_AT) if name == PER_REQUEST[0] else runs.first(name)
    mixed = (runs.positives_G > 0) & (runs.positives_G < runs.size_G)
    return np.where(mixed, found, np.nan)


def ndcg_at(k: int, labels: ArrayLike, scores: ArrayLike, requests: ArrayLike) -> Floats:
    """NDCG at any depth of each request ``[G]``; NaN where all labels are alike. See :func:`per_request`."""
    runs = _Runs.of(labels, scores, requests)
    if not runs.size_G.size:
        return np.zeros(0)
    mixed = (runs.positives_G > 0) & (runs.positives_G < runs.size_G)
    return np.where(mixed, runs.ndcg(k), np.nan)


def ordered(labels: ArrayLike, requests: ArrayLike) -> int:
    """How many requests have a positive and a negative."""
    labels_B, requests_B = np.asarray(labels, np.float64), np.asarray(requests, np.int64)
    if not labels_B.size:
        return 0
    positives = np.bincount(requests_B, weights=labels_B)
    return int(((positives > 0) & (positives < np.bincount(requests_B))).sum())


@dataclass(frozen=True, kw_only=True)
class _Runs:
    """Runs of candidates with one score, best first inside each request.

    ``before``: candidates of the request above the run; ``size`` and ``positives`` of it; ``group``
    its request; all ``[runs]``. ``size_G`` and ``positives_G`` are the requests'.
    """

    before: Codes
    size: Codes
    positives: Floats
    group: Codes
    size_G: Codes
    positives_G: Floats

    @staticmethod
    def of(labels: ArrayLike, scores: ArrayLike, requests: ArrayLike) -> _Runs:
        labels_B = np.asarray(labels, dtype=np.float64)
        scores_B = np.asarray(scores, dtype=np.float64)
        groups_B = np.asarray(requests, dtype=np.int64)
        if np.isnan(scores_B).any():
            raise ValueError(f"{int(np.isnan(scores_B).sum())} scores are no numbers")
        order = np.lexsort((-scores_B, groups_B))
        labels_B, scores_B, groups_B = labels_B[order], scores_B[order], groups_B[order]
        size_G = np.bincount(groups_B)
        starts = np.ones(labels_B.size, dtype=bool)
        starts[1:] = (groups_B[1:] != groups_B[:-1]) | (scores_B[1:] != scores_B[:-1])
        begin = np.flatnonzero(starts)
        group = groups_B[begin]
        return _Runs(
            before=begin - (np.cumsum(size_G) - size_G)[group],
            size=np.diff(np.append(begin, labels_B.size)),
            positives=np.add.reduceat(labels_B, begin) if begin.size else np.zeros(0),
            group=group,
            size_G=size_G,
            positives_G=np.bincount(groups_B, weights=labels_B).astype(np.float64),
        )

    def ndcg(self, k: int) -> Floats:
        gains = np.cumsum(np.append(0.0, 1.0 / np.log2(np.arange(2, k + 2))))
        upto = gains[np.minimum(self.before + self.size, k)] - gains[np.minimum(self.before, k)]
        found = np.bincount(self.group, self.positives * upto / self.size, self.size_G.size)
        best = gains[np.minimum(self.positives_G, k).astype(np.int64)]
        return found / np.where(best > 0, best, 1.0)

    def first(self, name: str) -> Floats:
        """MRR or hit rate: both look at the rank of the first positive alone."""
        from scipy.special import gammaln

        with_positive = np.flatnonzero(self.positives > 0)
        _, at = np.unique(self.group[with_positive], return_index=True)
        first = with_positive[at]  # runs are best first: the first one that holds a positive
        before, size, positives = self.before[first], self.size[first], self.positives[first]
        run = np.repeat(np.arange(first.size), size)
        place = np.arange(run.size) - np.repeat(np.cumsum(size) - size, size) + 1
        n, p = size[run].astype(np.float64), positives[run]
        # Of C(n, p) orders of a run, C(n - place, p - 1) have the first positive at the place.
        possible = place <= n - p + 1
        rest = np.where(possible, n - place, p - 1)
        ways = gammaln(rest + 1) - gammaln(p) - gammaln(rest - p + 2)
        chance = np.where(
            possible, np.exp(ways - gammaln(n + 1) + gammaln(p + 1) + gammaln(n - p + 1)), 0.0
        )
        rank = before[run] + place
        value = 1.0 / rank if name == "mrr" else (rank <= HIT_AT).astype(np.float64)
        found = np.zeros(self.size_G.size)
        found[self.group[first]] = np.bincount(run, chance * value, first.size)
        return found
