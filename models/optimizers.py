"""Optimisers and the learning rate's course."""

from __future__ import annotations

import torch

from models.ranker import Ranker
from models.recipes import TrainingConfig


def make_optimizers(ranker: Ranker, config: TrainingConfig) -> dict[str, torch.optim.Optimizer]:
    """``dense`` (AdamW, no decay on vectors: biases, gains) and ``tables`` (AdamW or Adagrad)."""
    dense = ranker.dense_parameters()
    tables = ranker.embedding_parameters()
    matrices = [p for p in dense if p.ndim > 1]
    vectors = [p for p in dense if p.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    rate, decay = config.embedding_learning_rate, config.embedding_weight_decay
    table_optimizer: torch.optim.Optimizer
    if config.embedding_optimizer == "adamw":
        table_optimizer = torch.optim.AdamW(tables, lr=rate, weight_decay=decay)
    else:
        table_optimizer = torch.optim.Adagrad(tables, lr=rate, weight_decay=decay)
    return {
        "dense": torch.optim.AdamW(groups, lr=config.learning_rate),
        "tables": table_optimizer,
    }


def rate_share(progress: float, warmup: float) -> float:
    """Share of the full rate at ``progress`` in [0, 1] of all steps: up linearly, then down to 0.

    Example:
        >>> [round(rate_share(p, 0.5), 2) for p in (0.25, 0.5, 0.75)]
        [0.5, 0.5, 0.25]
    """
    rise = min(progress / warmup, 1.0) if warmup else 1.0
    return rise * (1 - progress)


def set_rates(
    optimizers: dict[str, torch.optim.Optimizer], config: TrainingConfig, share: float
) -> None:
    """Give every parameter group its rate times ``share``."""
    full = {"dense": config.learning_rate, "tables": config.embedding_learning_rate}
    for name, optimizer in optimizers.items():
        for group in optimizer.param_groups:
            group["lr"] = full[name] * share
