"""The five kinds of network among which AdaEnsemble chooses: ``x_l, x_0 [B, D] -> [B, D]``.

Source: the code of AdaEnsemble (yanyachen/AdaEnsemble) for arXiv 2301.08353:

    gated        relu(W x_l + b) * 2 sigmoid(G_2 relu(G_1 x_0))
    cross        x_0 * (W x_l + b)                          DCN V2's layer without its residual
    polynomial   x_l * (W x_0)                              PIN of single entries
    convolution  x_l to V // 2 numbers, 16 filters of 4, the larger of each two, back to D
    attention    x_l as [V, E]; Q, K, V, O of width 8 with GELU, 4 heads, instance norm, back to D

No filter fits fewer than 5 numbers (4, and 2 to pool): with fewer than ten vectors there are 5, a
deviation. The norm of attention is over the V vectors, channel by channel.

Axes: B rows, V vectors, E width, D = V E.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.dense import split_axis
from hemix.models.layers.interactions.dynamic import InstanceNet


def linear(width: int, out: int, *, bias: bool = True) -> nn.Linear:
    """A linear layer by Xavier, its bias 0."""
    layer = nn.Linear(width, out, bias=bias)
    nn.init.xavier_uniform_(layer.weight)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


class Expert(nn.Module):
    """What all experts are.

    Example:
        >>> Cross(5, 4)(torch.ones(3, 20), torch.ones(3, 20)).shape
        torch.Size([3, 20])
    """

    def __init__(self, vectors: int, width: int) -> None:
        super().__init__()
        self.vectors, self.width, self.flat = vectors, width, vectors * width

    def forward(self, x_BD: Tensor, x0_BD: Tensor) -> Tensor:
        raise NotImplementedError

    def flops(self) -> int:
        """Of a row, norms left out."""
        raise NotImplementedError


class Gated(Expert):
    """``relu(W x_l + b) * 2 sigmoid(G_2 relu(G_1 x_0 + g_1) + g_2)``.

    Args:
        vectors: V.
        width: E.
        reduction: D over the gate's hidden width.

    Example:
        >>> Gated(5, 4)(torch.ones(3, 20), torch.ones(3, 20)).shape
        torch.Size([3, 20])
    """

    def __init__(self, vectors: int, width: int, reduction: int = 16) -> None:
        super().__init__(vectors, width)
        self.dense = linear(self.flat, self.flat)
        self.gate = InstanceNet(self.flat, self.flat, reduction=reduction)

    def forward(self, x_BD: Tensor, x0_BD: Tensor) -> Tensor:
        return fn.relu(self.dense(x_BD)) * self.gate.gate(x0_BD)

    def flops(self) -> int:
        return 2 * self.flat**2 + self.gate.flops() + self.flat


class Cross(Expert):
    """``x_0 * (W x_l + b)``."""

    def __init__(self, vectors: int, width: int) -> None:
        super().__init__(vectors, width)
        self.dense = linear(self.flat, self.flat)

    def forward(self, x_BD: Tensor, x0_BD: Tensor) -> Tensor:
        y: Tensor = x0_BD * self.dense(x_BD)
        return y

    def flops(self) -> int:
        return 2 * self.flat**2 + self.flat


class Polynomial(Expert):
    """``x_l * (W x_0)``."""

    def __init__(self, vectors: int, width: int) -> None:
        super().__init__(vectors, width)
        self.dense = linear(self.flat, self.flat, bias=False)

    def forward(self, x_BD: Tensor, x0_BD: Tensor) -> Tensor:
        y: Tensor = x_BD * self.dense(x0_BD)
        return y

    def flops(self) -> int:
        return 2 * self.flat**2 + self.flat


class Convolution(Expert):
    """A row as a line of numbers under filters; no activation but the pooling.

    Args:
        vectors: V.
        width: E.
        filters: how many.
        span: numbers under a filter.
        pool: neighbouring results of which the largest is kept.

    Example:
        >>> Convolution(12, 4)(torch.ones(3, 48), torch.ones(3, 48)).shape
        torch.Size([3, 48])
    """

    def __init__(
        self, vectors: int, width: int, filters: int = 16, span: int = 4, pool: int = 2
    ) -> None:
        super().__init__(vectors, width)
        line = max(vectors // 2, span + pool - 1)
        self.pool, self.pooled = pool, (line - span + 1) // pool
        self.inner = linear(self.flat, line)
        self.filters = nn.Parameter(nn.init.xavier_uniform_(torch.empty(filters, 1, span)))
        self.bias = nn.Parameter(torch.zeros(filters))
        self.out = linear(self.pooled * filters, self.flat)

    def forward(self, x_BD: Tensor, x0_BD: Tensor) -> Tensor:
        line_B1I = self.inner(x_BD)[:, None]
        y_BFP = fn.conv1d(line_B1I, self.filters.to(line_B1I.dtype), self.bias.to(line_B1I.dtype))
        pools = split_axis(y_BFP[:, :, : self.pooled * self.pool], 2, (self.pooled, self.pool))
        y: Tensor = self.out(pools.max(3).values.transpose(1, 2).flatten(1))
        return y

    def flops(self) -> int:
        (count, _, span), line = self.filters.shape, self.inner.out_features
        filters = 2 * count * span * (line - span + 1)
        return 2 * self.flat * line + filters + 2 * self.pooled * count * self.flat


class Attention(Expert):
    """Self-attention among a row's vectors.

    Args:
        vectors: V.
        width: E.
        hidden: width of all heads together.
        heads: how many.
        epsilon: added to the variance under the norm.

    Example:
        >>> Attention(5, 4)(torch.ones(3, 20), torch.ones(3, 20)).shape
        torch.Size([3, 20])
    """

    def __init__(
        self,
        vectors: int,
        width: int,
        hidden: int = 8,
        heads: int = 4,
        epsilon: float = 1e-3,
    ) -> None:
        super().__init__(vectors, width)
        self.heads, self.epsilon = heads, epsilon
        self.query, self.key, self.value = (linear(width, hidden) for _ in range(3))
        self.project = linear(hidden, hidden)
        self.scale, self.shift = nn.Parameter(torch.ones(hidden)), nn.Parameter(torch.zeros(hidden))
        self.out = linear(vectors * hidden, self.flat)

    def forward(self, x_BD: Tensor, x0_BD: Tensor) -> Tensor:
        x_BVE = split_axis(x_BD, 1, (self.vectors, self.width))
        q, k, v = (
            split_axis(fn.gelu(layer(x_BVE)), 2, (self.heads, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )
        read_BVH = fn.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        y_BVH = fn.gelu(self.project(read_BVH))
        y_BVH = y_BVH - y_BVH.mean(1, keepdim=True)
        spread_B1H = y_BVH.square().mean(1, keepdim=True)
        y_BVH = y_BVH * torch.rsqrt(spread_B1H + self.epsilon) * self.scale + self.shift
        y: Tensor = self.out(y_BVH.flatten(1))
        return y

    def flops(self) -> int:
        v, hidden = self.vectors, self.project.out_features
        attention = 4 * v * v * hidden + 2 * v * hidden * hidden
        return 6 * self.flat * hidden + attention + 2 * v * hidden * self.flat


EXPERTS: dict[str, type[Expert]] = {
    "gated": Gated,
    "cross": Cross,
    "polynomial": Polynomial,
    "convolution": Convolution,
    "attention": Attention,
}
