"""The settings every model tries: one budget, judged on validation alone.

On Frappe regularisation of the tables, their first spread and the course of the learning rate decide
more than the architecture does, so those are what is tried. The first setting is that of the published
calibration, in which factorisation machines are at their best, with wide first tables, which
refinements need; the second is the one that deep networks did best with in a search of three. Refined
models keep the settings of the model they refine. Group-FTRL has no weight decay, and its rate means
another thing than Adam's: it is tried anew, as often, the rest kept.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hemix.models.ftrl_config import GroupFTRLConfig
from hemix.models.rankers.fields import DeepConfig
from hemix.models.rankers.registry import find

FIXED = {
    "training.batch_size": "4096",
    "training.evaluations": "1",
    "training.patience": "3",
    "training.embedding_optimizer": "adam",
    "model.embedding.width": "16",
    "model.embedding.id_dropout": "0",
}
"""Batch, width and optimizer (L2 in the gradient) of the published calibration."""
PLATEAU = {
    "training.epochs": "40",
    "training.schedule": "plateau",
    "training.warmup": "0",
    "model.embedding.std": "0.1",
}
LINEAR = {
    "training.epochs": "20",
    "training.schedule": "linear",
    "training.warmup": "0.1",
    "model.embedding.std": "0.01",
}


def fixed(recipe: str) -> dict[str, str]:
    """What no trial of ``recipe`` changes: :data:`FIXED`, and batch norm in its deep network."""
    deep = issubclass(find(recipe).config_type, DeepConfig)
    return FIXED | ({"model.deep_norm": "batch"} if deep else {})


def _setting(course: Mapping[str, str], rate: str, l2: str, dropout: str) -> dict[str, str]:
    return {
        **course,
        "training.learning_rate": rate,
        "training.embedding_learning_rate": rate,
        "training.embedding_weight_decay": l2,
        "model.dropout": dropout,
    }


FIRST = _setting(PLATEAU, "0.01", "1e-5", "0")
DEEP = _setting(LINEAR, "0.016", "0.01", "0")


def tried(trials: int, seed: int = 0) -> list[dict[str, str]]:
    """``trials`` settings: one for factorisation machines, one for deep networks, then random ones.

    Example:
        >>> [setting["training.embedding_weight_decay"] for setting in tried(2)]
        ['1e-5', '0.01']
    """
    random = np.random.default_rng(seed)
    found = [dict(FIRST), dict(DEEP)][:trials]
    while len(found) < trials:
        rate = f"{10 ** random.uniform(-2.3, -1.7):.2g}"
        decay = str(random.choice([1e-5, 1e-3, 1e-2, 5e-2]))
        course = (PLATEAU, LINEAR)[random.integers(2)]
        found.append(_setting(course, rate, decay, str(random.choice([0.0, 0.3]))))
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
