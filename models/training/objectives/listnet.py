"""ListNet: the top-one probabilities of a group's scores beside those of its labels.

Cao et al., Learning to Rank: From Pairwise Approach to Listwise Approach, ICML 2007:

    P_y(i) = exp(y_i) / sum_j exp(y_j),   L_g = -sum_i P_y(i) log( exp(s_i) / sum_j exp(s_j) )

The mean is over groups with both labels. Rows of label 0 keep a share of the target, unlike ListCE's.
"""

from __future__ import annotations

from torch import Tensor

from hemix.models.training.objectives.groups import Groups


def listnet(logits: Tensor, labels: Tensor, groups: Groups) -> Tensor:
    """The loss of logits and 0/1 labels ``[B]``; 0 without a group of both labels."""
    target = (labels - groups.logsumexp(labels)[groups.of]).exp()
    log_share = logits - groups.logsumexp(logits)[groups.of]
    return groups.mean_over(groups.sum(-target * log_share), groups.valid(labels))
