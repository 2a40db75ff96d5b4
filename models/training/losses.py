"""Losses: the sum over tasks of binary cross-entropy, and what a task within a task learns from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as fn

from hemix.models.layers.task_outputs import product_logit
from hemix.models.training_config import GivenLoss


def multi_task_bce(
    logits: Mapping[str, Tensor],
    labels: Mapping[str, Tensor],
    weights: Mapping[str, float],
    given: Mapping[str, str] | None = None,
    given_loss: GivenLoss = "masked",
) -> Tensor:
    """``sum_task w_task * mean_b loss_task``.

    For most tasks every impression counts: ``BCE(s(z), y)``. A task t within another,
    ``given[t] = g`` (:mod:`hemix.models.layers.task_outputs`):

    - ``masked``: ``y_g BCE(s(z_t), y_t)``, rows without g's label count 0. The mean is over all B
      rows, so that the two tasks together are the likelihood of the pair by the chain rule, and
      shares of a batch may be averaged by their rows, however many of them have g's label.
    - ``esmm``: ``BCE(s(z_g) s(z_t), y_g y_t)`` over all rows; the tower of t learns through the
      product alone (Ma et al., arXiv 1804.07931, eq. 3).

    Args:
        logits: of the towers, float ``[B]`` per task.
        labels: float ``[B]`` per task.
        weights: of the tasks; 1 where none is given.
        given: task -> the task within which it is learnt.
        given_loss: ``masked`` or ``esmm``.

    Example:
        >>> zeros = torch.zeros(4)
        >>> multi_task_bce({"click": zeros}, {"click": zeros}, {}).item()
        0.6931471824645996
    """
    given = given or {}
    wide = {t: z if z.dtype == torch.float64 else z.float() for t, z in logits.items()}
    joint: dict[str, tuple[Tensor, Tensor]] = {t: (z, labels[t]) for t, z in wide.items()}
    losses = {}
    for task, parent in given.items():
        (z_g, y_g), (z_t, y_t) = joint[parent], joint[task]
        joint[task] = product_logit(z_g, z_t), y_g * y_t
        if given_loss == "masked":
            own = fn.binary_cross_entropy_with_logits(z_t, y_t, reduction="none")
            losses[task] = (own * y_g).mean()
        else:
            losses[task] = fn.binary_cross_entropy_with_logits(*joint[task])
    for task, (logit, label) in joint.items():
        if task not in given:
            losses[task] = fn.binary_cross_entropy_with_logits(logit, label)
    return torch.stack([weights.get(task, 1.0) * losses[task] for task in logits]).sum()
