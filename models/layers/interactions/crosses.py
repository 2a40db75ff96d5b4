"""Cross layers beside DCN V2's (:class:`hemix.models.layers.dense.CrossLayer`).

Axes: B batch, D width of a row's vectors side by side.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class VectorCross(nn.Module):
    """``x_0 (w . x_l) + b + x_l``: ``[B, D], [B, D] -> [B, D]`` (DCN, arXiv 1708.05123, eq. 3).

    Example:
        >>> VectorCross(4)(torch.ones(2, 4), torch.ones(2, 4)).shape
        torch.Size([2, 4])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_uniform_(torch.empty(1, width)))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x0_BD: Tensor, x_BD: Tensor) -> Tensor:
        return x0_BD * (x_BD @ self.weight.T) + self.bias + x_BD

    @staticmethod
    def flops(width: int) -> int:
        """Of a row."""
        return 5 * width


class GatedCross(nn.Module):
    """``c_0 * (W c_l + b) * sigmoid(G c_l) + c_l``: ``[B, D], [B, D] -> [B, D]``.

    GDCN, arXiv 2311.04635, eq. 2. With the gate at 1 this is DCN V2's layer. INFERRED: b begins at 0
    as DCN V2's, weights by Xavier; ``released_init`` takes the release's: b uniform in [0, 1],
    weights as torch's default.

    Example:
        >>> GatedCross(4)(torch.ones(2, 4), torch.ones(2, 4)).shape
        torch.Size([2, 4])
    """

    def __init__(self, width: int, *, released_init: bool = False) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        self.gate = nn.Linear(width, width, bias=False)
        if released_init:
            nn.init.uniform_(self.linear.bias)
        else:
            nn.init.xavier_uniform_(self.linear.weight)
            nn.init.zeros_(self.linear.bias)
            nn.init.xavier_uniform_(self.gate.weight)

    def gates(self, c_BD: Tensor) -> Tensor:
        """How much of each entry is let through, ``[B, D]`` in (0, 1)."""
        return torch.sigmoid(self.gate(c_BD))

    def forward(self, c0_BD: Tensor, c_BD: Tensor) -> Tensor:
        y: Tensor = c0_BD * self.linear(c_BD) * self.gates(c_BD) + c_BD
        return y

    @staticmethod
    def flops(width: int) -> int:
        """Of a row: two products with a matrix, two products and a sum of vectors."""
        return 4 * width**2
