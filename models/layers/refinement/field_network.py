"""FWN: a small network of each field's own, multiplied with the field's vector.

Paper: Luo et al., "Network On Network for Tabular Data Classification in Real-world Applications",
SIGIR 2020, arXiv 2005.10114 (its field-wise network):

    u_f = relu(e_f W_f + b_f)      W_f [d, d], b_f [d]        out_f = u_f * e_f

The product as fusion is the benchmark's choice (arXiv 2311.04625). ``b`` begins at 1, so that every
number passes at first: from 0, as the release has it on average, three of five had fallen silent
after three epochs of an FM on Frappe (one seed), and what is behind a dead ReLU has no gradient.
``init: released`` begins as the release does.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.refinement.base import (
    Refinement,
    RefinementConfig,
    per_field,
    stacked,
    stacked_bias,
)


class FieldNetwork(Refinement):
    """The weights are ``u [B, F, d]``.

    Example:
        >>> import torch
        >>> FieldNetwork(3, 4, RefinementConfig())(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 4])
    """

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__(fields, width)
        self.weight = stacked(config, fields, width, width)
        self.bias = stacked_bias(config, fields, 1, width)
        if config.init == "slices":
            nn.init.ones_(self.bias)

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        u_BFd = fn.relu(per_field(e_BFd, self.weight) + self.bias[:, 0])
        return e_BFd * u_BFd, u_BFd

    def flops(self) -> int:
        return 2 * self.fields * self.width**2
