"""Gates of one field each: a vector weighs itself.

Paper: Huang et al., "GateNet: Gating-Enhanced Deep Network for Click-Through Rate Prediction",
arXiv 2007.03519, its feature embedding gate with weights of each field's own:

    vgate:  g_f = e_f . w_f      [B, F, 1]    w_f [d]         out_f = g_f e_f
    bgate:  g_f = e_f W_f        [B, F, d]    W_f [d, d]      out_f = g_f * e_f

No bias and no activation, as in the benchmark (arXiv 2311.04625); GateNet allows an activation.
The output is of second degree in the vectors, so it is small while these are.
"""

from __future__ import annotations

from torch import Tensor

from hemix.models.layers.refinement.base import Refinement, RefinementConfig, per_field, stacked


class VGate(Refinement):
    """One weight a field.

    Example:
        >>> import torch
        >>> VGate(3, 4, RefinementConfig()).weights(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 1])
    """

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__(fields, width)
        self.weight = stacked(config, fields, width, 1)

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        gate_BF1 = per_field(e_BFd, self.weight)
        return e_BFd * gate_BF1, gate_BF1

    def flops(self) -> int:
        return 2 * self.fields * self.width


class BGate(Refinement):
    """One weight a field and dimension.

    Example:
        >>> import torch
        >>> BGate(3, 4, RefinementConfig()).weights(torch.zeros(2, 3, 4)).shape
        torch.Size([2, 3, 4])
    """

    def __init__(self, fields: int, width: int, config: RefinementConfig) -> None:
        super().__init__(fields, width)
        self.weight = stacked(config, fields, width, width)

    def refine(self, e_BFd: Tensor) -> tuple[Tensor, Tensor]:
        gate_BFd = per_field(e_BFd, self.weight)
        return e_BFd * gate_BFd, gate_BFd

    def flops(self) -> int:
        return 2 * self.fields * self.width**2
