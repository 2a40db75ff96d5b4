"""SENET: fields weigh each other through a bottleneck of one number a field.

Paper: Huang et al., "FiBiNET: Combining Feature Importance and Bilinear feature Interaction for
Click-Through Rate Prediction", RecSys 2019, arXiv 1905.09433:

    q_f = mean_k e_fk                                 squeeze      [B, F]
    a   = relu(W_2 relu(W_1 q + b_1) + b_2)           excitation   W_1 [F/r, F], W_2 [F, F/r]
    out_f = a_f e_f

The released benchmark (arXiv 2311.04625) squeezes by the maximum: ``squeeze: max``. A ReLU that
has died for a field takes that field out for good: no gradient reaches its weight any more. Both
layers begin as torch's Linear does, but for ``b_2``, which begins at 1 (INFERRED), so that all
fields are let through first. With a small random ``b_2`` seven of Frappe's ten fields died in the
first steps of one seed, user and item among them.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.refinement.base import Refinement, RefinementConfig


class SENET(Refinement):
    """The weights are ``a [B, F, 1]``.

    Example:
        >>> import torch
        >>> SENET(3, 4, RefinementConfig()).weights(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 1])
    """

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__(fields, width)
        self.squeeze = config.squeeze
        narrow = max(1, fields // config.reduction)
        self.first, self.second = nn.Linear(fields, narrow), nn.Linear(narrow, fields)
        nn.init.ones_(self.second.bias)

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        q_BF = e_BFd.mean(2) if self.squeeze == "mean" else e_BFd.amax(2)
        a_BF1 = fn.relu(self.second(fn.relu(self.first(q_BF))))[:, :, None]
        return e_BFd * a_BF1, a_BF1

    def flops(self) -> int:
        return 4 * self.fields * self.first.out_features
