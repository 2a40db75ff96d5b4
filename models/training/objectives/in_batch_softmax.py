"""In-batch softmax: each positive row against the negative rows of the batch.

The SoftmaxCE of listwise click models over a batch (Yi et al., Sampling-Bias-Corrected Neural Modeling
for Large Corpus Item Recommendations, RecSys 2019), for rows that were shown:

    L = -mean over positives i of  log( exp(s_i) / (exp(s_i) + sum_{j in N(i)} exp(s_j)) )
    N(i): rows of label 0 with another item (``items``) or another user (``users``) than row i

Labels say what is positive, never a row's place, and ids say what is the same: a row of the same item
is no evidence against that item. With ``correction`` a logit is ``s_j - log q_j`` in training alone,
q_j the item's share of the batch.
"""

from __future__ import annotations

import torch
from torch import Tensor


def in_batch_softmax(logits: Tensor, labels: Tensor, ids: Tensor) -> Tensor:
    """The loss of logits and 0/1 labels ``[B]``; ``ids`` (int64 ``[B]``): rows of equal ones are no negatives.

    0 without a positive that has a negative.
    """
    up, down = (labels > 0).nonzero()[:, 0], (labels == 0).nonzero()[:, 0]
    if not len(up) or not len(down):
        return logits.sum() * 0
    against = ids[up][:, None] != ids[down]
    others = torch.where(against, logits[down], -torch.inf)
    has = against.any(1)
    all_of_them = torch.logsumexp(torch.cat([logits[up][:, None], others], 1), 1)
    return torch.where(has, all_of_them - logits[up], 0.0).sum() / has.sum().clamp(min=1)


def corrected(logits: Tensor, shares: Tensor) -> Tensor:
    """``logits - log q``, of the shares q ``[B]`` with which rows are sampled.

    Example:
        >>> [round(z, 3) for z in corrected(torch.zeros(2), torch.tensor([0.9, 0.1])).tolist()]
        [0.105, 2.303]
    """
    return logits - shares.log()


def batch_shares(ids: Tensor) -> Tensor:
    """Each row's id's share of the rows: ``[B]``."""
    _, of, counts = torch.unique(ids, return_inverse=True, return_counts=True)
    return (counts / len(ids))[of]
