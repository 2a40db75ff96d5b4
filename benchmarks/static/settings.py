"""The settings every model tries: one budget, judged on validation alone.

Regularisation of the tables and the learning rate decide more on Frappe than the architecture does,
so those are what is tried: L2 in the gradient of the tables (Adam, as the published work trains),
rates, dropout. Refined models keep the settings of the model they refine. Group-FTRL has no weight
decay, and its rate means another thing than Adam's: it is tried anew, as often, the rest kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hemix.models.ftrl_config import GroupFTRLConfig
from hemix.models.rankers.fields import DeepConfig
from hemix.models.rankers.registry import find

FIXED = {
    "training.batch_size": "4096",
    "training.epochs": "20",
    "training.evaluations": "1",
    "training.embedding_optimizer": "adam",
    "model.embedding.width": "16",
    "model.embedding.id_dropout": "0",
}
"""Batch, width and optimizer of the published calibration; 20 epochs, with a rate that falls to 0."""
FIRST = {
    "training.learning_rate": "0.02",
    "training.embedding_learning_rate": "0.02",
    "training.embedding_weight_decay": "1e-5",
}


def fixed(recipe: str) -> dict[str, str]:
    """What no trial of ``recipe`` changes: :data:`FIXED`, and batch norm in its deep network."""
    deep = issubclass(find(recipe).config_type, DeepConfig)
    return FIXED | ({"model.deep_norm": "batch"} if deep else {})


def tried(trials: int, seed: int = 0) -> list[dict[str, str]]:
    """``trials`` settings: the one that a factorisation machine does best with, then random ones.

    Example:
        >>> len(tried(3)), tried(1)[0]["training.learning_rate"]
        (3, '0.02')
    """
    random = np.random.default_rng(seed)
    found = [dict(FIRST)]
    while len(found) < trials:
        rate = f"{10 ** random.uniform(-2.3, -1.5):.2g}"
        found.append(
            {
                "training.learning_rate": rate,
                "training.embedding_learning_rate": rate,
                "training.embedding_weight_decay": str(random.choice([1e-5, 1e-3, 1e-2, 5e-2])),
                "model.dropout": str(random.choice([0.0, 0.3])),
            }
        )
    return found


GROUP_FTRL_RATES = ("0.02", "0.1", "0.5", "0.05", "0.2", "1")
"""The release's, then around it."""


def rates(base: Mapping[str, str], trials: int) -> list[dict[str, str]]:
    """At most ``trials`` settings of Group-FTRL: those of ``base`` with another rate of the tables."""
    return [
        {**base, "training.embedding_learning_rate": rate} for rate in GROUP_FTRL_RATES[:trials]
    ]


def group_ftrl(strength: float) -> dict[str, str]:
    """The recipe's fields for Group-FTRL with ``strength`` times the release's draw to 0."""
    drawn = strength * GroupFTRLConfig().group_l1
    return {
        "training.embedding_optimizer": "group_ftrl",
        "training.embedding_weight_decay": "0",
        "training.group_ftrl.group_l1": f"{drawn:.6g}",
    }
