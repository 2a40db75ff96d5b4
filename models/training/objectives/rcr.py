"""RCR: ListCE with sigmoids in place of exponentials, so that it agrees with log loss.

Bai et al., Regression Compatible Listwise Objectives for Calibrated Ranking with Binary Relevance,
CIKM 2023, arXiv 2211.01494:

    L_g = -sum_{i in g} (y_i / Y_g) log( sigma(s_i) / sum_{j in g} sigma(s_j) ),   Y_g = sum_i y_i

A common factor of a group's sigmoids changes nothing, so log loss alone fixes their level. Dividing by
Y_g makes the optimum E[y_i / Y_g] and not E[y_i]; in large groups the two are alike.
The mean is over groups with both labels. ``log sigma(s) = -softplus(-s)``: no underflow.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as fn

from hemix.models.training.objectives.groups import Groups
from hemix.models.training.objectives.listce import listce


def rcr(logits: Tensor, labels: Tensor, groups: Groups) -> Tensor:
    """The loss of logits and 0/1 labels ``[B]``; 0 without a group of both labels."""
    return listce(fn.logsigmoid(logits), labels, groups)
