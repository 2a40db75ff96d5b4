"""Optimisers and the learning rate's course."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hemix.errors import DefinitionError
from hemix.models import keep_triton_out
from hemix.models.embedding.rowwise_adagrad import RowwiseAdagrad
from hemix.models.rankers.base import Ranker
from hemix.models.training.ftrl import FTRL, GroupFTRL
from hemix.models.training_config import Schedule, TrainingConfig


def make_optimizers(ranker: Ranker, config: TrainingConfig) -> dict[str, torch.optim.Optimizer]:
    """``dense`` (AdamW, no decay on vectors: biases, gains), ``tables`` and, where they have an
    optimiser of their own, ``interactions`` (as configured).

    AdamW on a GPU is one fused kernel for many parameters; a checkpoint does not tell them apart.

    Raises:
        DefinitionError: FTRL for a ranker that names no interaction weights.
    """
    keep_triton_out()  # the first step loads it
    own = _interactions(ranker) if config.interaction_optimizer == "ftrl" else []
    crossing = {id(p) for p in own}
    dense = [p for p in ranker.dense_parameters() if id(p) not in crossing]
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
        table_optimizer = torch.optim.AdamW(
            tables, lr=rate, weight_decay=decay, fused=_fused(tables)
        )
    elif config.embedding_optimizer == "adam":
        table_optimizer = torch.optim.Adam(
            tables, lr=rate, weight_decay=decay, fused=_fused(tables)
        )
    elif config.embedding_optimizer == "rowwise_adagrad":
        table_optimizer = RowwiseAdagrad(tables, lr=rate, weight_decay=decay)
    elif config.embedding_optimizer == "group_ftrl":
        begun = {"keep_initial": config.group_ftrl.keep_initial or bool(config.warm_start)}
        group_ftrl = config.group_ftrl.model_copy(update=begun)
        table_optimizer = GroupFTRL(tables, group_ftrl, lr=rate)
    else:
        table_optimizer = torch.optim.Adagrad(tables, lr=rate, weight_decay=decay)
    optimizers: dict[str, torch.optim.Optimizer] = {
        "dense": torch.optim.AdamW(groups, lr=config.learning_rate, fused=_fused(dense)),
        "tables": table_optimizer,
    }
    if own:
        begun = {"keep_initial": config.ftrl.keep_initial or bool(config.warm_start)}
        optimizers["interactions"] = FTRL(own, config.ftrl.model_copy(update=begun))
    return optimizers


def _interactions(ranker: Ranker) -> list[nn.Parameter]:
    found = list(ranker.interaction_weights().values())
    if not found:
        raise DefinitionError(
            f"training.interaction_optimizer=ftrl: {ranker.name} has no interaction weights.",
            hint="Leave training.interaction_optimizer at adamw for this ranker.",
        )
    return found


def _fused(parameters: Sequence[Tensor]) -> bool | None:
    """True where all lie on a GPU; None is torch's own choice, the plain loop on the CPU."""
    return True if all(p.device.type == "cuda" for p in parameters) else None


PLATEAU = 0.1
"""What the rate is multiplied by at a validation without gain, where the schedule is plateau."""


def rate_share(
    progress: float, warmup: float, schedule: Schedule = "linear", *, cuts: int = 0
) -> float:
    """Share of the full rate at ``progress`` in [0, 1] of all steps: a linear rise times a fall.

    The fall is ``1 - progress``, half a cosine from 1 to 0, none, or a tenth for each of ``cuts``.

    Example:
        >>> [round(rate_share(p, 0.5), 3) for p in (0.25, 0.5, 0.75)]
        [0.375, 0.5, 0.25]
        >>> [round(rate_share(p, 0.0, "cosine"), 3) for p in (0.0, 0.5, 1.0)]
        [1.0, 0.5, 0.0]
        >>> [round(rate_share(0.9, 0.1, "plateau", cuts=n), 3) for n in (0, 1, 2)]
        [1.0, 0.1, 0.01]
    """
    rise = min(progress / warmup, 1.0) if warmup else 1.0
    fall = {
        "linear": 1 - progress,
        "cosine": (1 + math.cos(math.pi * progress)) / 2,
        "constant": 1.0,
        "plateau": PLATEAU**cuts,
    }[schedule]
    return rise * fall


def set_rates(
    optimizers: dict[str, torch.optim.Optimizer], config: TrainingConfig, share: float
) -> None:
    """Give every parameter group its rate times ``share``; FTRL's rates fall by themselves."""
    full = {"dense": config.learning_rate, "tables": config.embedding_learning_rate}
    for name, optimizer in optimizers.items():
        if isinstance(optimizer, GroupFTRL | FTRL):
            continue
        for group in optimizer.param_groups:
            group["lr"] = full[name] * share
