"""Products of all pairs of a row's vectors.

Axes: B batch, V vectors of a row, E embedding width, T tasks, P = V (V - 1) / 2 pairs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def pooled_pairs(x_BVE: Tensor) -> Tensor:
    """``sum_{i<j} x_i * x_j``: ``[B, V, E] -> [B, E]``, by one pass over the vectors.

    NFM's bi-interaction pooling; its sum over E is the second-order term of a factorisation machine.

    Example:
        >>> pooled_pairs(torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]))
        tensor([[23., 44.]])
    """
    return (x_BVE.sum(1).square() - x_BVE.square().sum(1)) / 2


def pooled_pairs_flops(vectors: int, width: int) -> int:
    """Two sums, a square of every entry, and what is done with the two results."""
    return 3 * vectors * width + 3 * width


class FactorizationMachine(nn.Module):
    """Second-order term of every task: ``[B, V, E] -> [B, T]``.

    ``fm_t(x) = sum_e (1 + h_te) (sum_{i<j} x_i * x_j)_e``. With one task there is no h and this is
    Rendle's sum of dot products. INFERRED: with several, one sum cannot say two things, so each task
    weighs its entries by a vector that begins at 1 and that weight decay draws back to 1.

    Example:
        >>> FactorizationMachine(1, 2)(torch.tensor([[[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]]))
        tensor([[67.]])
    """

    def __init__(self, tasks: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(tasks, width)) if tasks > 1 else None

    def forward(self, x_BVE: Tensor) -> Tensor:
        pooled_BE = pooled_pairs(x_BVE)
        sum_B1 = pooled_BE.sum(1, keepdim=True)
        return sum_B1 if self.weight is None else sum_B1 + pooled_BE @ self.weight.T

    def flops(self, vectors: int, width: int) -> int:
        """Of a row of ``vectors`` vectors."""
        own = 0 if self.weight is None else self.weight.shape[0] * (2 * width + 1)
        return pooled_pairs_flops(vectors, width) + width + own
