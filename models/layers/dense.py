"""Small layers that several rankers use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from hemix.models.layers.batch_rng import Dropout

Norm = Literal["none", "layer", "batch"]


def xavier_slices_(weight: Tensor) -> Tensor:
    """Xavier-uniform over the last two axes ``[..., fan_in, fan_out]``, each slice on its own.

    ``nn.init.xavier_uniform_`` on a stacked 3-D parameter counts the stack as part of a fan and
    makes the slices too small.
    """
    fan_in, fan_out = weight.shape[-2], weight.shape[-1]
    bound = (6 / (fan_in + fan_out)) ** 0.5
    with torch.no_grad():
        return weight.uniform_(-bound, bound)


def split_axis(x: Tensor, axis: int, sizes: tuple[int, int]) -> Tensor:
    """One axis as two; one of ``sizes`` may be -1."""
    axis %= x.ndim
    known = max(sizes)  # torch cannot work out a -1 when another axis is empty
    first, second = (x.shape[axis] // known if size == -1 else size for size in sizes)
    return x.reshape(*x.shape[:axis], first, second, *x.shape[axis + 1 :])


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation of ``[B, D]`` (Ioffe and Szegedy, arXiv 1502.03167, algorithms 1 and 2).

    A single row in training, which has no variance, is normalised as in evaluation.
    """

    def forward(self, x_BD: Tensor) -> Tensor:
        if self.training and len(x_BD) == 1:
            return nn.functional.batch_norm(
                x_BD, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(x_BD)


def norm_of(norm: Norm, width: int) -> list[nn.Module]:
    """The layer of that name, or no layer."""
    if norm == "none":
        return []
    return [nn.LayerNorm(width) if norm == "layer" else BatchNorm(width)]


class MLP(nn.Module):
    """``[B, D] -> [B, widths[-1]]``: Linear, norm if there is one, ReLU, dropout for every width.

    Example:
        >>> MLP(4, (8, 2))(torch.zeros(3, 4)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self, width: int, widths: Sequence[int], dropout: float = 0.0, norm: Norm = "none"
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for out in widths:
            linear = nn.Linear(width, out)
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
            layers += [linear, *norm_of(norm, out), nn.ReLU(), Dropout(dropout)]
            width = out
        self.net = nn.Sequential(*layers)
        self.width = width

    def forward(self, x_BD: Tensor) -> Tensor:
        y: Tensor = self.net(x_BD)
        return y


class Tower(nn.Module):
    """``[B, D] -> [B]``: an :class:`MLP` and one linear unit, the logit of a task.

    Example:
        >>> Tower(4, (8,))(torch.zeros(3, 4)).shape
        torch.Size([3])
    """

    def __init__(self, width: int, widths: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        self.mlp = MLP(width, widths, dropout)
        self.out = nn.Linear(self.mlp.width, 1)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x_BD: Tensor) -> Tensor:
        logit: Tensor = self.out(self.mlp(x_BD)).squeeze(-1)
        return logit


class CrossLayer(nn.Module):
    """``x_0 * (W x_l + b) + x_l``: ``[B, D], [B, D] -> [B, D]`` (DCN V2, arXiv 2008.13535, eq. 1).

    Example:
        >>> CrossLayer(4)(torch.ones(2, 4), torch.ones(2, 4)).shape
        torch.Size([2, 4])
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, x0_BD: Tensor, x_BD: Tensor) -> Tensor:
        y: Tensor = x0_BD * self.linear(x_BD) + x_BD
        return y


def mlp_flops(width: int, widths: Sequence[int]) -> int:
    """Forward FLOPs of an MLP, 2 a multiply-add."""
    total = 0
    for out in widths:
        total += 2 * width * out
        width = out
    return total
