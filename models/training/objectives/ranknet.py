"""RankNet: every pair of a positive and a negative row of a group.

Burges et al., Learning to Rank using Gradient Descent, ICML 2005, with target probability 1:

    L = mean over all pairs (i, j), y_i = 1, y_j = 0, of  log(1 + exp(-(s_i - s_j)))

A group of p positives and n negatives has p n pairs, so large groups count most.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as fn

from hemix.models.training.objectives.groups import Groups, pairs


def ranknet(logits: Tensor, labels: Tensor, groups: Groups) -> Tensor:
    """The loss of logits and 0/1 labels ``[B]``; 0 without a pair.

    Example:
        >>> import torch
        >>> user = Groups.by(torch.tensor([7, 7]))
        >>> round(ranknet(torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.0]), user).item(), 4)
        0.6931
    """
    up, down = pairs(groups, labels)
    return fn.softplus(logits[down] - logits[up]).sum() / max(len(up), 1)
