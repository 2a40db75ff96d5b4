"""PIN whose interactions depend on the row: gates, generated weights, re-weighted weights.

Paper: Yan and Li, "DynInt: Dynamic Interaction Modeling for Large-scale Click-Through Rate
Prediction", arXiv 2301.08139. Its abstract alone was open to us: *dynamic activation* re-scales what
was learned, *dynamic parameters* are generated for the row, in several forms of low rank. INFERRED
are all formulas. With ctx the row's vectors side by side, without gradient, a layer of PIN
(:mod:`hemix.models.layers.interactions.polynomial`) becomes

    activation   X_l = X_{l-1} * (W X_0) * a + X_{l-1}        a = 2 sigmoid(net(ctx)) [N] or [N, C]
    generated    W(ctx) = W + U S(ctx) V'                     S = net(ctx) [r, r], U, V [N, r]
    weighted     W(ctx) = W * sum_q alpha_q beta_q'           alpha, beta = 2 sigmoid(net(ctx)) / sqrt(r)

net is a bottleneck, D / 16 wide, with ReLU. Its last layer begins at 0 (for ``weighted`` of rank
above 1 near 0, else the q stay equal for ever), so all three begin as PIN. W(ctx) is never built:

    U (S (V' X_0))   and   sum_q alpha_q * (W (beta_q * X_0))

Axes: B batch, V vectors, E width, D = V E, N = V h, C = E / h, r rank.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.dense import mlp_flops, split_axis, xavier_slices_
from hemix.models.layers.interactions.polynomial import PolynomialInteractions

Mode = Literal["activation", "generated", "weighted"]
REDUCTION = 16
"""By how much the bottleneck is narrower than its input (AdaEnsemble's library, same authors)."""


class InstanceNet(nn.Module):
    """``W_2 relu(W_1 x + b_1) + b_2``: ``[B, D] -> [B, out]``, hidden width D / ``reduction``.

    Args:
        width: D.
        out: width of the result.
        reduction: D over the hidden width.
        spread: deviation of the last layer's weights at the start, its bias being 0.
        bias: whether its two layers have biases.

    Example:
        >>> InstanceNet(32, 5)(torch.ones(3, 32)).tolist()[0]
        [0.0, 0.0, 0.0, 0.0, 0.0]
    """

    def __init__(
        self,
        width: int,
        out: int,
        *,
        reduction: int = REDUCTION,
        spread: float = 0.0,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.hidden = max(1, width // reduction)
        self.first = nn.Linear(width, self.hidden, bias=bias)
        self.last = nn.Linear(self.hidden, out, bias=bias)
        nn.init.xavier_uniform_(self.first.weight)
        nn.init.normal_(self.last.weight, std=spread)
        if bias:
            nn.init.zeros_(self.first.bias)
            nn.init.zeros_(self.last.bias)

    def forward(self, x_BD: Tensor) -> Tensor:
        y: Tensor = self.last(fn.relu(self.first(x_BD)))
        return y

    def gate(self, x_BD: Tensor) -> Tensor:
        """``2 sigmoid(.)``: 1 where the last layer is 0."""
        return 2 * torch.sigmoid(self(x_BD))

    def flops(self) -> int:
        """Of a row."""
        return mlp_flops(self.first.in_features, (self.hidden, self.last.out_features))


class DynamicInteractions(PolynomialInteractions):
    """PIN with weights or activations of the row's own: ``[B, V, E] -> [B, V, E]``.

    Args:
        vectors: V.
        width: E.
        layers: L.
        subspaces: h; it divides E.
        mode: activation, generated or weighted.
        rank: r of generated and weighted.
        bits: whether the gates of ``activation`` are for single entries, else for whole vectors.
        static: whether ``generated`` keeps the weights that all rows share.
        dropout: share of the linear function's input that is dropped in training.

    Example:
        >>> DynamicInteractions(5, 4, 3, mode="weighted")(torch.zeros(7, 5, 4)).shape
        torch.Size([7, 5, 4])
    """

    def __init__(
        self,
        vectors: int,
        width: int,
        layers: int,
        *,
        subspaces: int = 1,
        mode: Mode = "activation",
        rank: int = 1,
        bits: bool = False,
        static: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(vectors, layers, subspaces=subspaces, dropout=dropout)
        rows = vectors * subspaces
        self.mode, self.rank, self.bits = mode, rank, bits
        self.static = static or mode != "generated"
        if not self.static:
            self.weights = nn.ParameterList()
        self.count = layers
        out = {
            "activation": vectors * width if bits else rows,
            "generated": rank**2,
            "weighted": 2 * rows * rank,
        }[mode]
        spread = 1e-3 if mode == "weighted" and rank > 1 else 0.0
        self.nets = nn.ModuleList(
            InstanceNet(vectors * width, out, spread=spread, bias=mode != "generated")
            for _ in range(layers)
        )
        generated = layers if mode == "generated" else 0
        self.left, self.right = (
            nn.ParameterList(xavier_slices_(torch.empty(rows, rank)) for _ in range(generated))
            for _ in range(2)
        )

    @property
    def depth(self) -> int:
        """L."""
        return self.count

    def linear(self, layer: int, x0_BNC: Tensor, context_BD: Tensor) -> Tensor:
        """What multiplies X_{l-1}: ``[B, N, C]``."""
        net = self.nets[layer]
        assert isinstance(net, InstanceNet)
        if self.mode == "activation":
            gate_BNC = split_axis(net.gate(context_BD), 1, (x0_BNC.shape[1], -1))
            return (self.weights[layer] @ x0_BNC) * gate_BNC
        if self.mode == "generated":
            core_Brr = split_axis(net(context_BD), 1, (self.rank, self.rank))
            own_BNC = self.left[layer] @ (core_Brr @ (self.right[layer].T @ x0_BNC))
            return own_BNC + self.weights[layer] @ x0_BNC if self.static else own_BNC
        factors = net.gate(context_BD) / self.rank**0.5
        alpha_BrN, beta_BrN = (
            split_axis(part, 1, (self.rank, -1)) for part in factors.chunk(2, dim=1)
        )
        mixed_BrNC = self.weights[layer] @ (beta_BrN[..., None] * x0_BNC[:, None])
        return (alpha_BrN[..., None] * mixed_BrNC).sum(1)

    def flops(self, vectors: int, width: int) -> int:
        """Of a row."""
        rows, flat = vectors * self.subspaces, vectors * width
        matrix = 2 * rows * flat
        own = {
            "activation": matrix + flat,
            "generated": 4 * self.rank * flat
            + 2 * self.rank**2 * (width // self.subspaces)
            + self.static * (matrix + flat),
            "weighted": self.rank * (matrix + 3 * flat),
        }[self.mode]
        nets = sum(net.flops() for net in self.nets if isinstance(net, InstanceNet))
        return self.count * (own + 2 * flat) + nets
