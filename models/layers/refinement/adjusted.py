"""FAL: vectors are adjusted by the row, and user and item say how far to go.

Paper: "FaFM: Vector-level and Bit-level Feature Adjusted Factorization Machine for Sparse
Prediction", DASFAA 2020. The benchmark (arXiv 2311.04625) lists it and ships a stub. A RECONSTRUCTION:
of the paper it is known that a fully connected layer over the row gives a weight a field, and that a
gate of user and item then refines each vector bit by bit and filters over-adaptation. Built here:

    a = W_a z + b_a                        [B, F]           e'_f = (1 + a_f) e_f
    g_f = sigmoid(W_g [u ; i ; e'_f] + b_g)  [B, F, d]       out_f = g_f * e'_f + (1 - g_f) * e_f

``u`` and ``i`` are the means of the request's and of the item's field vectors; which fields those
are must be known, so the module is not for logs of anonymous columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from hemix.models.layers.refinement.base import Refinement


class FeatureAdjusted(Refinement):
    """The weights are ``g [B, F, d]``.

    Args:
        fields: F.
        width: d.
        user: places of the request's fields among the F.
        item: places of the item's fields.

    Example:
        >>> FeatureAdjusted(3, 4, user=[0], item=[2])(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 4])
    """

    meaning = "high: the row's adjustment is taken, low: the vector stays as it is"

    def __init__(
        self, fields: int, width: int, *, user: Sequence[int], item: Sequence[int]
    ) -> None:
        super().__init__(fields, width)
        self.user, self.item = list(user), list(item)
        self.adjust = nn.Linear(fields * width, fields)
        self.gate = nn.Linear(3 * width, width)
        for layer in (self.adjust, self.gate):
            nn.init.xavier_uniform_(layer.weight)
            nn.init.zeros_(layer.bias)

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        adjusted_BFd = e_BFd * (1 + self.adjust(e_BFd.flatten(1)))[:, :, None]
        sides = [e_BFd[:, places].mean(1) for places in (self.user, self.item)]
        pair_BFd = torch.cat(sides, 1)[:, None].expand(-1, self.fields, -1)
        g_BFd = self.gate(torch.cat([pair_BFd, adjusted_BFd], 2)).sigmoid()
        return g_BFd * adjusted_BFd + (1 - g_BFd) * e_BFd, g_BFd

    def flops(self) -> int:
        return 2 * self.adjust.weight.numel() + 2 * self.fields * self.gate.weight.numel()
