"""GFRL: a second form of every vector, and how much of it to take, both seen through the row.

Paper: Wang et al., "MCRF: Enhancing CTR Prediction Models via Multi-channel Feature Refinement
Framework", DASFAA 2022 (its gated feature refinement layer). Two units of one form:

    FLU(E)_f = (e_f W_f + b_f) * relu(U MLP(z) + u)       W_f [d, d]; the second factor [B, 1, d]
    s = sigmoid(FLU_2(E))           out = (1 - s) * E + s * FLU_1(E)

INFERRED beyond the benchmark's code (arXiv 2311.04625): nothing; the paper's own text was not read.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.refinement.base import (
    Refinement,
    RefinementConfig,
    RefinementMLP,
    per_field,
    stacked,
    stacked_bias,
)

HIDDEN = (256,)


class FieldLevelUnit(nn.Module):
    """FLU: ``[B, F, d] -> [B, F, d]``."""

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__()
        self.weight = stacked(config, fields, width, width)
        self.bias = stacked_bias(config, fields, 1, width)
        self.mlp = RefinementMLP(fields * width, config.hidden or HIDDEN, config)
        self.out = nn.Linear(self.mlp.width, width)
        nn.init.xavier_uniform_(self.out.weight)

    def forward(self, e_BFd: Tensor) -> Tensor:
        context_Bd = fn.relu(self.out(self.mlp(e_BFd.flatten(1))))
        return (per_field(e_BFd, self.weight) + self.bias[:, 0]) * context_Bd[:, None]

    def flops(self) -> int:
        return 2 * self.weight.numel() + self.mlp.flops() + 2 * self.out.weight.numel()


class GatedFieldLevel(Refinement):
    """The weights are ``s [B, F, d]``.

    Example:
        >>> import torch
        >>> GatedFieldLevel(3, 4, RefinementConfig(hidden=(5,)))(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 4])
    """

    meaning = "high: the vector's second form takes its place, low: it stays as it is"

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__(fields, width)
        self.first, self.second = (FieldLevelUnit(fields, width, config) for _ in range(2))

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        s_BFd = self.second(e_BFd).sigmoid()
        return e_BFd * (1 - s_BFd) + self.first(e_BFd) * s_BFd, s_BFd

    def flops(self) -> int:
        return self.first.flops() + self.second.flops()
