"""A sparse mixture of experts: each row is computed by the k experts that its router chooses.

    y_b = sum_{e chosen by b} g_be expert_e(x_lb, x_0b)      combine=gated
    y_b = sum_{e chosen by b} expert_e(x_lb, x_0b)           combine=sum, as the release of AdaEnsemble

An expert computes its own rows and no others. With ``sum`` no loss of a task reaches the router:
balance and z losses alone shape the choice. With ``gated`` and k = 1 the gate is the softmax over
all experts, for a softmax over one is 1 and has no gradient. The router reads x_0 without gradient.

Axes: B rows, D width, N experts.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from hemix.models.layers.named import Named
from hemix.models.layers.routing.experts import Expert
from hemix.models.layers.routing.router import CosineRouter, Routing, top_gates

Combine = Literal["gated", "sum"]


class SparseMixture(nn.Module):
    """``x_l, x_0 [B, D] -> [B, D]`` and the routing.

    Args:
        experts: by name.
        router: its logits' order is that of ``experts``.
        chosen: k.
        combine: gated or sum.

    Example:
        >>> from hemix.models.layers.routing.experts import Cross, Polynomial
        >>> experts = {"cross": Cross(2, 3), "polynomial": Polynomial(2, 3)}
        >>> mixture = SparseMixture(experts, CosineRouter(6, 2), chosen=1)
        >>> mixture(torch.ones(4, 6), torch.ones(4, 6))[0].shape
        torch.Size([4, 6])
    """

    def __init__(
        self,
        experts: Mapping[str, Expert],
        router: CosineRouter,
        *,
        chosen: int,
        combine: Combine = "gated",
    ) -> None:
        super().__init__()
        self.experts, self.router = Named(dict(experts)), router
        self.chosen, self.combine = min(chosen, len(experts)), combine

    def route(self, x0_BD: Tensor) -> Routing:
        """Which experts compute which rows."""
        alone = self.chosen == 1 and self.combine == "gated"
        return top_gates(self.router(x0_BD.detach()), self.chosen, "all" if alone else "chosen")

    def forward(
        self, x_BD: Tensor, x0_BD: Tensor, routing: Routing | None = None
    ) -> tuple[Tensor, Routing]:
        routing = routing or self.route(x0_BD)
        y_BD = torch.zeros_like(x_BD)
        for index, expert in enumerate(self.experts.values()):
            rows = routing.chosen[:, index].nonzero()[:, 0]
            y = expert(x_BD[rows], x0_BD[rows]).to(x_BD.dtype)
            if self.combine == "gated":
                y = y * routing.gates[rows, index, None].to(x_BD.dtype)
            y_BD = y_BD.index_add(0, rows, y)
        return y_BD, routing

    def expert_flops(self) -> list[int]:
        """Of a row of each expert."""
        return [expert.flops() for expert in self.experts.values() if isinstance(expert, Expert)]
