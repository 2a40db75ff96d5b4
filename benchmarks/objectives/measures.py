"""The columns of the table: order within a user on one state, and probabilities of rows as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.accuracy.data import Scores
from benchmarks.accuracy.table import spread
from benchmarks.objectives.held_out import Judged
from hemix.models.metrics import pointwise as metrics
from hemix.models.metrics.bootstrap import UserBootstrap
from hemix.models.metrics.per_request import ndcg_at
from hemix.models.metrics.within_user import GAUC

NDCG_AT = 5
COLD = {"cold_0": (0, 0), "cold_1_3": (1, 3), "cold_4_more": (4, 1 << 62)}
"""Users by their rows in the training split."""


def measure(test: Judged, scores: Scores) -> dict[str, dict[str, float]]:
    """Figures by task: ``gauc``, ``ndcg_at_5`` and ``gauc`` of cold users on one state of each user;
    ``auc``, ``logloss``, ``pcoc`` and ``gauc_as_logged`` of the rows as they are.
    """
    found: dict[str, dict[str, float]] = {}
    for task, y in test.labels.items():
        p, own = (np.asarray(scores[n], float) for n in (f"{task}/shared", task))
        found[task] = {
            "gauc": float(metrics.gauc(y, p, test.users)),
            f"ndcg_at_{NDCG_AT}": float(np.nanmean(ndcg_at(NDCG_AT, y, p, test.users))),
            "auc": float(metrics.auc(y, own)),
            "logloss": float(metrics.logloss(y, own)),
            "pcoc": float(metrics.pcoc(y, own)),
            "gauc_as_logged": float(metrics.gauc(y, own, test.users)),
        }
        if test.lists:
            found[task]["impression_auc"] = float(metrics.impression_auc(y, own, test.requests))
        for name, (low, high) in COLD.items():
            rows = (test.history >= low) & (test.history <= high)
            if rows.any():
                users = np.unique(test.users[rows], return_inverse=True)[1]
                found[task][f"gauc_{name}"] = float(metrics.gauc(y[rows], p[rows], users))
    return found


def summary(test: Judged, runs: Sequence[Scores]) -> dict[str, Any]:
    """Mean and deviation of every figure over the seeds."""
    measured = [measure(test, scores) for scores in runs]
    return {
        task: {name: spread([m[task][name] for m in measured]) for name in figures}
        for task, figures in measured[0].items()
    }


def differences(
    runs: Mapping[str, Sequence[Scores]], reference: str, test: Judged
) -> dict[str, dict[str, dict[str, float]]]:
    """GAUC on one state, minus that of ``reference``: mean over the seeds both have, 95 % by user.

    All rows and seeds share the draws; seed i is paired with seed i, one run with every seed.
    """
    draws = UserBootstrap.draw(test.users, replicates=200)
    found: dict[str, dict[str, dict[str, float]]] = {}
    for task, y in test.labels.items():
        name = f"{task}/shared"
        held = {
            row: [draws.metric(GAUC, y, p[name]) for p in seeds if name in p]
            for row, seeds in runs.items()
        }
        against = held[reference]
        for row, estimates in held.items():
            if row == reference or not estimates or not against:
                continue
            counts = len(estimates), len(against)
            count = max(counts) if 1 in counts else min(counts)
            pairs = [
                (estimates[i % len(estimates)], against[i % len(against)]) for i in range(count)
            ]
            value = float(np.mean([a.value - b.value for a, b in pairs]))
            drawn = np.mean([a.replicates - b.replicates for a, b in pairs], axis=0)
            gap = draws.estimate(value, drawn)
            found.setdefault(row, {})[task] = {
                "gauc": round(gap.value, 5),
                "low": round(gap.low, 5),
                "high": round(gap.high, 5),
            }
    return found
