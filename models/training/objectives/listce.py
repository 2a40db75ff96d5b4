"""ListCE: softmax cross-entropy of a group's rows.

As in Bruch et al., An Analysis of the Softmax Cost Function for Learning to Rank, ICTIR 2019:

    L_g = -sum_i (y_i / Y_g) log( exp(s_i) / sum_{j in g} exp(s_j) ),   Y_g = sum_i y_i

The mean is over groups with both labels. A shift of a group's logits changes nothing, so on its own it
says nothing of probabilities, and beside log loss it pulls on them: :mod:`.rcr` does not.
"""

from __future__ import annotations

from torch import Tensor

from hemix.models.training.objectives.groups import Groups


def listce(logits: Tensor, labels: Tensor, groups: Groups) -> Tensor:
    """The loss of logits and 0/1 labels ``[B]``; 0 without a group of both labels.

    Example:
        >>> import torch
        >>> request = Groups.by(torch.tensor([0, 0, 0]))
        >>> round(listce(torch.zeros(3), torch.tensor([1.0, 0.0, 0.0]), request).item(), 4)
        1.0986
    """
    valid = groups.valid(labels)
    log_share = logits - groups.logsumexp(logits)[groups.of]
    each = groups.sum(-labels * log_share) / groups.sum(labels).clamp(min=1)
    return groups.mean_over(each, valid)
