"""FRNet: each vector is mixed with a complementary one, both made from the whole row.

Paper: Wang et al., "Enhancing CTR Prediction with Context-Aware Feature Representation Learning"
(FRNet), SIGIR 2022, arXiv 2204.08758. Information extraction unit (IEU):

    Q, K, V = E W + b  (d -> a)       O_vec = softmax(Q K^T) V W_P + b_P      [B, F, d], no scale
    O_bit = act(U MLP(z) + u)         [B, 1, d]
    IEU(E) = O_vec * O_bit            [B, F, d]; frnet_v: its sum over d, [B, F, 1]

    E_g = IEU_G(E)   always by bit          W = sigmoid(IEU_W(E))
    out = E * W + E_g * (1 - W)

The benchmark's released ``frnet_v`` (arXiv 2311.04625) runs the bit form by a misspelt option;
here it is the vector form. ``context`` is the activation of ``O_bit``, and the MLP has PReLU.
"""

from __future__ import annotations

from torch import Tensor, nn

from hemix.models.layers.refinement.base import (
    Refinement,
    RefinementConfig,
    RefinementMLP,
    activation_of,
)
from hemix.models.layers.refinement.field_attention import Heads

HIDDEN = (128,)
ATTENTION = 16


class Extraction(nn.Module):
    """IEU: ``[B, F, d] -> [B, F, d]``."""

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__()
        size = config.head_width or ATTENTION
        self.attention = Heads(width, heads=1, head_width=size, scale=1.0, xavier=False)
        self.project = nn.Linear(size, width)
        self.mlp = RefinementMLP(fields * width, config.hidden or HIDDEN, config, "prelu")
        self.out = nn.Linear(self.mlp.width, width)
        self.activation = activation_of(config.context)
        nn.init.xavier_uniform_(self.out.weight)

    def forward(self, e_BFd: Tensor) -> Tensor:
        vectors_BFd: Tensor = self.project(self.attention(e_BFd)[0])
        bits_Bd: Tensor = self.activation(self.out(self.mlp(e_BFd.flatten(1))))
        return vectors_BFd * bits_Bd[:, None]

    def flops(self, fields: int, width: int) -> int:
        attention = self.attention.flops(fields, width)
        project = 2 * fields * self.project.weight.numel()
        return attention + project + self.mlp.flops() + 2 * self.out.weight.numel()


class FRNet(Refinement):
    """FRNet-B: one weight a field and dimension; the weights are ``W``.

    Example:
        >>> import torch
        >>> FRNetV(3, 4, RefinementConfig(hidden=(5,))).weights(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 1])
    """

    by_vector = False
    meaning = "high: the vector stays as it is, low: its complement takes its place"

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__(fields, width)
        self.complement, self.gate = (Extraction(fields, width, config) for _ in range(2))

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        gate = self.gate(e_BFd)
        w = (gate.sum(2, keepdim=True) if self.by_vector else gate).sigmoid()
        return e_BFd * w + self.complement(e_BFd) * (1 - w), w

    def flops(self) -> int:
        units = self.complement, self.gate
        return sum(unit.flops(self.fields, self.width) for unit in units)


class FRNetV(FRNet):
    """FRNet-V: one weight a field."""

    by_vector = True
