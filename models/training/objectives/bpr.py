"""BPR: a positive row above the negative rows of its group, every positive alike.

Rendle et al., BPR: Bayesian Personalized Ranking from Implicit Feedback, UAI 2009 (BPR-Opt):

    L = mean over positives i of  mean over negatives j of i's group of  -ln sigma(s_i - s_j)

The paper draws one j a step; this is the mean of that draw over the rows that were really shown. Rows
without a negative in their group are left out. RankNet has the same pairs but weighs a positive by
the number of its negatives.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as fn

from hemix.models.training.objectives.groups import Groups, pairs


def bpr(logits: Tensor, labels: Tensor, groups: Groups) -> Tensor:
    """The loss of logits and 0/1 labels ``[B]``; 0 without a pair."""
    up, down = pairs(groups, labels)
    if not len(up):
        return logits.sum() * 0
    negatives = torch.bincount(up, minlength=len(logits))
    positives = (negatives > 0).sum()
    return (fn.softplus(logits[down] - logits[up]) / negatives[up]).sum() / positives
