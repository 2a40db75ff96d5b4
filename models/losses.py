"""Losses: the sum over tasks of binary cross-entropy."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as fn


def multi_task_bce(
    logits: Mapping[str, Tensor], labels: Mapping[str, Tensor], weights: Mapping[str, float]
) -> Tensor:
    """``sum_task w_task * mean_b BCE(sigmoid(logit), y)``; weights default to 1.

    ``logits`` and ``labels`` float ``[B]`` a task; every impression counts for every task.

    Example:
        >>> zeros = torch.zeros(4)
        >>> multi_task_bce({"click": zeros}, {"click": zeros}, {}).item()
        0.6931471824645996
    """
    losses = [
        weights.get(task, 1.0) * fn.binary_cross_entropy_with_logits(logit.float(), labels[task])
        for task, logit in logits.items()
    ]
    return torch.stack(losses).sum()
