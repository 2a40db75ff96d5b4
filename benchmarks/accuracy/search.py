"""The same settings for every ranker, tried in the same order and judged on validation alone.

The settings are training and embedding fields that every ranker has, so that nobody gets a knob or
a trial more than the others. The first is the recipe as it stands; the rest are drawn once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Setting = Mapping[str, str]


def settings(trials: int, seed: int = 0) -> list[dict[str, str]]:
    """``trials`` settings: the recipe's own, then random ones.

    Rates are log-uniform over [1e-3, 1e-2], the same for tables and the rest; the share of unknown
    ids is one of 0, 0.1, 0.2, 0.3; dropout is 0 or 0.1.

    Example:
        >>> settings(1), len(settings(3))
        ([{}], 3)
    """
    random = np.random.default_rng(seed)
    found: list[dict[str, str]] = [{}]
    while len(found) < trials:
        rate = f"{10 ** random.uniform(-3, -2):.2g}"
        found.append(
            {
                "training.learning_rate": rate,
                "training.embedding_learning_rate": rate,
                "model.embedding.id_dropout": str(random.choice([0.0, 0.1, 0.2, 0.3])),
                "model.dropout": str(random.choice([0.0, 0.1])),
            }
        )
    return found


def best(
    tried: list[dict[str, str]], train: Callable[[dict[str, str]], Mapping[str, Any]]
) -> tuple[dict[str, str], list[float]]:
    """The setting with the highest mean validation AUC over tasks, and that AUC of each setting."""
    scores = [float(np.mean(list(train(setting)["validation"].values()))) for setting in tried]
    return tried[int(np.argmax(scores))], scores
