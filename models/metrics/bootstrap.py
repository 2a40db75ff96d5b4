"""User bootstrap: intervals that know that rows of one user are not independent.

A replicate draws U of U users with replacement, which is the same as giving every user a weight
(how often it was drawn). Whatever does not change with the weights (ranks, per-user sums) is
computed once, so a replicate costs one pass over the rows for AUC and a dot product for the rest.
Replicates of two models use the same draws: their difference is a paired bootstrap.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13 (percentile interval);
Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 2015, section
5.3: with few users the percentiles lie further out, as Student's t does.

The expected calibration error is another matter: noise inside bins only adds to it, in the sample and
again in every replicate. Its interval rests on the bins' gaps g, for which the bootstrap holds:
|ECE − ECE of the population| is at most Σ wₖ·|gₖ − γₖ|, whose quantile the replicates give. It is
wider than need be where gaps are large, and begins at 0 where they may all be noise.
How often each interval holds the truth is measured: ``benchmarks/coverage.py``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from hemix.models.metrics import pointwise as metrics
from hemix.models.metrics.calibration import bin_codes
from hemix.models.metrics.per_request import PER_REQUEST, per_request
from hemix.models.metrics.pointwise import Codes, Floats
from hemix.models.metrics.within_user import PER_USER, per_user, within_user

RANKING = ("auc", *PER_USER, "impression_auc", *PER_REQUEST)
CALIBRATED = ("logloss", "normalized_entropy", "pcoc", "ece")
METRICS = (*RANKING, *CALIBRATED)
FEWEST_USERS = 50
"""Of fewer users no interval is given: it would hold the truth noticeably less often than it says."""
FEWEST_IN_BIN = 10
"""Positives (and negatives) a bin, on average, below which an ECE has no interval."""
FEWEST_USERS_INSIDE = 100
"""The same for metrics that are means over small parts: AUCs inside users or requests, gaps of bins."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric of the whole sample and its interval; NaN where undefined, or of too few users.

    ``distances``: of an ECE, how far each replicate's gaps lie from the sample's; None of all else.
    """

    value: float
    low: float
    high: float
    replicates: Floats
    distances: Floats | None = None


@dataclass(frozen=True, kw_only=True)
class UserBootstrap:
    """The draws: ``weights [R, U]`` counts of each user in each replicate, ``users [B]`` codes."""

    users: Codes
    weights: Floats
    confidence: float = 0.95

    @staticmethod
    def draw(
        users: ArrayLike, *, replicates: int = 200, seed: int = 0, confidence: float = 0.95
    ) -> UserBootstrap:
        """Draw once, then estimate any number of metrics with the same draws.

        Args:
            users: ids ``[B]`` of any type.
            replicates: how many samples of users are drawn.
            seed: of the draws.
            confidence: of the intervals, such as 0.95.
        """
        _, codes = np.unique(np.asarray(users), return_inverse=True)
        codes = codes.astype(np.int64)
        count = int(codes.max()) + 1 if codes.size else 0
        random = np.random.default_rng(seed)
        weights = np.zeros((replicates, count))
        for row in weights:
            row += np.bincount(random.integers(0, max(count, 1), count), minlength=count)
        return UserBootstrap(users=codes, weights=weights, confidence=confidence)

    def subset(self, rows: ArrayLike) -> UserBootstrap:
        """The same draws for a part of the rows (a slice), given as a mask or indices."""
        return UserBootstrap(
            users=self.users[np.asarray(rows)], weights=self.weights, confidence=self.confidence
        )

    @property
    def count(self) -> int:
        """How many users there are."""
        return int(np.unique(self.users).size)

    def estimate(self, value: float, replicates: Floats, *, fewest: int = FEWEST_USERS) -> Estimate:
        """A value and the interval of its replicates (undefined ones left out).

        Args:
            value: the metric over all rows.
            replicates: the metric over each draw ``[replicates]``; NaN where undefined.
            fewest: of fewer users there is no interval.
        """
        from scipy.stats import norm, t

        known, count = replicates[~np.isnan(replicates)], self.count
        if not known.size or count < fewest:
            return Estimate(value=value, low=np.nan, high=np.nan, replicates=replicates)
        reach = float(t.ppf((1 + self.confidence) / 2, count - 1)) * np.sqrt(count / (count - 1))
        tail = float(norm.cdf(-reach))
        low, high = np.quantile(known, (tail, 1 - tail))
        return Estimate(value=value, low=float(low), high=float(high), replicates=replicates)

    def difference(self, left: Estimate, right: Estimate) -> Estimate:
        """``left - right``, paired: both must come from these draws."""
        value, replicates = left.value - right.value, left.replicates - right.replicates
        if left.distances is None or right.distances is None:
            few = np.isnan((left.low, right.low)).any() and self.count >= FEWEST_USERS
            fewest = FEWEST_USERS_INSIDE if few else FEWEST_USERS
            return self.estimate(value, replicates, fewest=fewest)
        reach = self._reach(left.distances + right.distances)
        return Estimate(value=value, low=value - reach, high=value + reach, replicates=replicates)

    def _reach(self, distances: Floats) -> float:
        """How far the gaps lie from the truth at most; NaN for too few users."""
        if np.isnan(distances).all() or self.count < FEWEST_USERS_INSIDE:
            return float("nan")
        return float(np.nanquantile(distances, self.confidence))

    def metric(
        self, name: str, labels: ArrayLike, scores: ArrayLike, requests: Codes | None = None
    ) -> Estimate:
        """The metric called ``name`` (one of :data:`METRICS`) with its interval.

        Args:
            name: one of :data:`METRICS`.
            labels: 0 or 1 ``[B]``.
            scores: probabilities ``[B]``; of metrics within a user, of one state a user
                (:mod:`hemix.models.metrics.within_user`).
            requests: codes ``[B]`` of the requests; needed by ``impression_auc`` and
                :data:`hemix.models.metrics.per_request.PER_REQUEST` only. A request belongs to one
                user.
        """
        labels_B = np.asarray(labels, dtype=np.float64)
        scores_B = np.asarray(scores, dtype=np.float64)
        if name == "auc":
            value = metrics.auc(labels_B, scores_B)
            return self.estimate(value, self._auc(labels_B, scores_B))
        if name in PER_USER:
            value = within_user(name, labels_B, scores_B, self.users)
            found = self._grouped(*per_user(name, labels_B, scores_B, self.users), self.users)
            return self.estimate(value, found, fewest=FEWEST_USERS_INSIDE)
        if name == "impression_auc":
            assert requests is not None, "impression_auc needs requests"
            auc_G, _ = metrics.grouped_auc(labels_B, scores_B, requests)
            return self._mean_of_requests(auc_G, requests)
        if name in PER_REQUEST:
            assert requests is not None, f"{name} needs requests"
            return self._mean_of_requests(per_request(name, labels_B, scores_B, requests), requests)
        assert name in CALIBRATED, name
        ones = np.ones((1, self.weights.shape[1]))
        value = float(self._sums(name, labels_B, scores_B, ones)[0])
        replicates = self._sums(name, labels_B, scores_B, self.weights)
        if name != "ece":
            return self.estimate(value, replicates)
        gaps_K, gaps_RK = (self._gaps(labels_B, scores_B, w) for w in (ones, self.weights))
        distances = np.abs(gaps_RK - gaps_K).sum(axis=1)
        # A bin without a positive looks as if it never had one: its gap's noise is not seen.
        rarer = min(float(labels_B.sum()), float((1 - labels_B).sum()))
        if rarer < FEWEST_IN_BIN * gaps_K.size:
            distances = np.full_like(distances, np.nan)
        reach = self._reach(distances)
        return Estimate(
            value=value,
            low=max(value - reach, 0.0) if reach == reach else np.nan,
            high=value + reach,
            replicates=replicates,
            distances=distances,
        )

    def _gaps(self, labels_B: Floats, scores_B: Floats, weights_RU: Floats) -> Floats:
        """Predicted minus observed of each bin, times its share of rows ``[R, K]``.

        The bins are those of the whole sample: a replicate re-weighs rows inside them.
        """
        codes, size = bin_codes(scores_B), weights_RU.shape[1]
        bins = int(codes.max()) + 1 if codes.size else 0
        gaps = _add_up(self.users * bins + codes, scores_B - labels_B, size * bins)
        rows = weights_RU @ _add_up(self.users, np.ones_like(labels_B), size)
        return _ratio(weights_RU @ gaps.reshape(size, bins), rows[:, None])

    def _auc(self, labels_B: Floats, scores_B: Floats) -> Floats:
        """Weighted AUC a replicate: one sort for all, then a cumulative sum and a gather each."""
        result = np.full(len(self.weights), np.nan)
        order = np.argsort(scores_B, kind="stable")
        positive, negative = order[labels_B[order] > 0], order[labels_B[order] == 0]
        if not positive.size or not negative.size:
            return result
        low = np.searchsorted(scores_B[negative], scores_B[positive], side="left")
        high = np.searchsorted(scores_B[negative], scores_B[positive], side="right")
        users_P, users_N = self.users[positive], self.users[negative]
        below = np.zeros(negative.size + 1)
        for index, weights_U in enumerate(self.weights):
            np.cumsum(weights_U[users_N], out=below[1:])
            weights_P = weights_U[users_P]
            pairs = weights_P.sum() * below[-1]
            if pairs > 0:
                # Not np.dot: on shared cores its threads cost many times what they save here.
                wins = (weights_P * (below[low] + below[high])).sum() / 2
                result[index] = wins / pairs
        return result

    def _mean_of_requests(self, value_G: Floats, requests_B: Codes) -> Estimate:
        """The plain mean over the requests that have a value, which is none for requests (NaN) whose
        labels are alike."""
        one_G = np.ones_like(value_G)
        known = value_G[~np.isnan(value_G)]
        value = float(known.mean()) if known.size else float("nan")
        found = self._grouped(value_G, one_G, requests_B)
        return self.estimate(value, found, fewest=FEWEST_USERS_INSIDE)

    def _grouped(self, value_G: Floats, rows_G: Floats, groups_B: Codes) -> Floats:
        """Mean of values of groups; a group's value does not change, only its user's weight."""
        user_G = np.zeros(value_G.size, dtype=np.int64)
        user_G[groups_B] = self.users
        weight_G = np.where(np.isnan(value_G), 0.0, rows_G)
        size = self.weights.shape[1]
        top_U = _add_up(user_G, weight_G * np.nan_to_num(value_G), size)
        bottom_U = _add_up(user_G, weight_G, size)
        return _ratio(self.weights @ top_U, self.weights @ bottom_U)

    def _sums(self, name: str, labels_B: Floats, scores_B: Floats, weights_RU: Floats) -> Floats:
        """Metrics made of sums over rows: add up a user once, then weigh users."""
        size = weights_RU.shape[1]

        def total(values_B: Floats) -> Floats:
            return weights_RU @ _add_up(self.users, values_B, size)

        rows = total(np.ones_like(labels_B))
        if name == "pcoc":
            return _ratio(total(scores_B), total(labels_B))
        if name == "ece":
            return np.abs(self._gaps(labels_B, scores_B, weights_RU)).sum(axis=1)
        loss = _ratio(total(metrics.row_logloss(labels_B, scores_B)), rows)
        if name == "logloss":
            return loss
        return _ratio(loss, metrics.entropy(_ratio(total(labels_B), rows)))


def _add_up(codes: Codes, values: Floats, size: int) -> Floats:
    return np.bincount(codes, weights=values, minlength=size).astype(np.float64, copy=False)


def _ratio(top: Floats, bottom: Floats) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(bottom > 0, top / bottom, np.nan)
