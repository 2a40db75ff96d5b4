"""(f) HeMix's block: heterogeneous mixing of rank R, then an FFN of its own for every token.

Axes as in :mod:`hemix.models.rankers.hemix.model`.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.batch_rng import Dropout
from hemix.models.layers.dense import xavier_slices_
from hemix.models.layers.per_token import HeteroFFN, fuse, reconstruct
from hemix.models.rankers.hemix.config import HeMixConfig

NORMS = {
    "post_layer": nn.LayerNorm,
    "pre_layer": nn.LayerNorm,
    "pre_rms": nn.RMSNorm,
    "none": nn.Identity,
}


def stack_as_fan_(module: nn.Module) -> None:
    """Draw all stacked weights anew, with bounds as ``nn.init.xavier_uniform_`` has for 3-D weights.

    Of ``[stack, in, out]`` that is ``sqrt(6 / (in out + stack out))``: UniRank's initial weights
    (arXiv 2607.19987), a tenth and less of a slice's own bound at a width of 256.
    """
    for weight in module.parameters():
        if weight.ndim == 3:
            nn.init.xavier_uniform_(weight)


class HeteroMixing(nn.Module):
    """Heterogeneous interaction of rank R: ``reconstruct(WR_m ReLU(WL_m fuse(X)_m))``, own m."""

    def __init__(self, config: HeMixConfig, tokens: int) -> None:
        super().__init__()
        heads, own = config.mix_heads, 1 if config.shared_mixing else config.mix_heads
        mixed = tokens * config.token_width // heads
        rank = config.rank or mixed
        self.heads, self.aligned = heads, config.reconstruction
        self.activation = config.mix_activation
        self.left = nn.Parameter(xavier_slices_(torch.empty(own, mixed, rank)))
        self.left_bias = nn.Parameter(torch.zeros(own, rank))
        self.right = nn.Parameter(xavier_slices_(torch.empty(own, rank, mixed)))
        self.right_bias = nn.Parameter(torch.zeros(own, mixed))

    def forward(self, x_BND: Tensor) -> Tensor:
        g = fuse(x_BND, self.heads)
        u_BHR: Tensor = getattr(fn, self.activation)(self._mix(g, self.left) + self.left_bias)
        g = self._mix(u_BHR, self.right) + self.right_bias
        return reconstruct(g, x_BND.shape[1]) if self.aligned else g.reshape(x_BND.shape)

    def _mix(self, g_BHF: Tensor, weight: Tensor) -> Tensor:
        return torch.einsum("bhf,hfr->bhr", g_BHF, weight.expand(self.heads, -1, -1))


class HeteroMixerBlock(nn.Module):
    """(f) Mixing and FFN, each with residual and norm (after it; before with ``pre_*``).

    ``mixing`` maps ``[B, N, D]`` to itself; None leaves the FFN alone.
    """

    def __init__(self, config: HeMixConfig, mixing: nn.Module | None, ffn: HeteroFFN) -> None:
        super().__init__()
        width, norm = config.token_width, NORMS[config.norm]
        self.mixing, self.ffn = mixing, ffn
        self.pre = config.pre_norm
        self.mixing_norm = norm(width) if mixing is not None else nn.Identity()
        self.ffn_norm = norm(width)
        self.dropout = Dropout(config.dropout)
        if config.stacked_init == "stack":
            stack_as_fan_(self)
        if config.small_output_init:  # each block starts near the identity
            for weight in [
                *([mixing.right] if isinstance(mixing, HeteroMixing) else []),
                self.ffn.down,
            ]:
                nn.init.normal_(weight, std=0.01)

    def forward(self, x_BND: Tensor) -> Tensor:
        if self.pre:
            if self.mixing is not None:
                x_BND = x_BND + self.dropout(self.mixing(self.mixing_norm(x_BND)))
            return x_BND + self.dropout(self.ffn(self.ffn_norm(x_BND)))
        if self.mixing is not None:
            x_BND = self.mixing_norm(x_BND + self.dropout(self.mixing(x_BND)))
        y_BND: Tensor = self.ffn_norm(x_BND + self.dropout(self.ffn(x_BND)))
        return y_BND
