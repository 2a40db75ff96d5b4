"""JRC's generative term: a row against the group's rows, under the row's own label.

Sheng et al., Joint Optimization of Ranking and Calibration with Contextualized Hybrid Model, KDD 2023,
arXiv 2208.06164, of two logits f(x, 0) and f(x, 1) with p = softmax(f):

    L_GE = -mean_i log( exp f(x_i, y_i) / sum_{j in g} exp f(x_j, y_i) )

The hybrid loss of the paper is ``alpha * bce + (1 - alpha) * jrc``. A ranker here has one logit s, so
f(x, 1) = s / 2 and f(x, 0) = -s / 2: p = sigma(s), and the paper's free common part of both logits is
fixed to 0. Groups without both labels are left out, so a batch of clicks alone teaches nothing.
"""

from __future__ import annotations

import torch
from torch import Tensor

from hemix.models.training.objectives.groups import Groups


def jrc(logits: Tensor, labels: Tensor, groups: Groups) -> Tensor:
    """The loss of logits and 0/1 labels ``[B]``; 0 without a group of both labels."""
    half = logits / 2
    clicked = half - groups.logsumexp(half)[groups.of]
    other = -half - groups.logsumexp(-half)[groups.of]
    kept = groups.valid(labels)[groups.of]
    each = torch.where(kept, -torch.where(labels > 0, clicked, other), 0.0)
    return each.sum() / kept.sum().clamp(min=1)
