"""Networks of its own for every token, and tokens regrouped by heads.

Axes: B batch · N tokens · D token width · H heads, d = D/H · K hidden width.

- SwiGLU: Shazeer, arXiv 2002.05202;
- TokenMixer-Large block: arXiv 2602.06563 (mix, per-token SwiGLU, revert, per-token SwiGLU).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.batch_rng import Dropout
from hemix.models.layers.dense import split_axis, xavier_slices_


def fuse(x_BND: Tensor, heads: int) -> Tensor:
    """Fusion: head m of all tokens side by side, ``[B, N, D] -> [B, H, N*d]``."""
    return split_axis(x_BND, -1, (heads, -1)).transpose(1, 2).flatten(2)


def reconstruct(g_BHF: Tensor, tokens: int) -> Tensor:
    """Group-aligned reconstruction, the exact inverse of :func:`fuse`: ``[B, H, N*d] -> [B, N, D]``."""
    return split_axis(g_BHF, -1, (tokens, -1)).transpose(1, 2).flatten(2)


class HeteroFFN(nn.Module):
    """A two-layer GELU network of its own for every token: ``[B, N, D] -> [B, N, D]``.

    Example:
        >>> HeteroFFN(5, 4, 8)(torch.zeros(2, 5, 4)).shape
        torch.Size([2, 5, 4])
    """

    def __init__(self, tokens: int, width: int, hidden: int, *, shared: bool = False) -> None:
        super().__init__()
        own = 1 if shared else tokens
        self.up = nn.Parameter(xavier_slices_(torch.empty(own, width, hidden)))
        self.up_bias = nn.Parameter(torch.zeros(own, hidden))
        self.down = nn.Parameter(xavier_slices_(torch.empty(own, hidden, width)))
        self.down_bias = nn.Parameter(torch.zeros(own, width))

    def forward(self, x_BND: Tensor) -> Tensor:
        return self.apply_own(self.hidden(x_BND), self.down) + self.down_bias

    def hidden(self, x_BND: Tensor) -> Tensor:
        """``[B, N, D] -> [B, N, K]``."""
        return fn.gelu(self.apply_own(x_BND, self.up) + self.up_bias)

    @staticmethod
    def apply_own(x_BND: Tensor, weight: Tensor) -> Tensor:
        return torch.einsum("bnd,ndk->bnk", x_BND, weight.expand(x_BND.shape[1], -1, -1))


class TokenSwiGLU(nn.Module):
    """A SwiGLU network of its own for every token: ``[B, N, D] -> [B, N, D]``."""

    def __init__(self, tokens: int, width: int, hidden: int) -> None:
        super().__init__()
        self.up = nn.Parameter(xavier_slices_(torch.empty(tokens, width, hidden)))
        self.gate = nn.Parameter(xavier_slices_(torch.empty(tokens, width, hidden)))
        self.down = nn.Parameter(torch.randn(tokens, hidden, width) * 0.01)

    def forward(self, x_BND: Tensor) -> Tensor:
        up, gate = (torch.einsum("bnd,ndk->bnk", x_BND, w) for w in (self.up, self.gate))
        return torch.einsum("bnk,nkd->bnd", up * fn.silu(gate), self.down)


class TokenMixerLargeBlock(nn.Module):
    """``M' = M + SwiGLU(RMS(M)), M = mix(X);  X' = X + SwiGLU(RMS(revert(M')))``."""

    def __init__(self, tokens: int, width: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.mixed, self.own = (TokenSwiGLU(tokens, width, hidden) for _ in range(2))
        self.mixed_norm, self.own_norm = nn.RMSNorm(width), nn.RMSNorm(width)
        self.dropout = Dropout(dropout)

    def forward(self, x_BND: Tensor) -> Tensor:
        m_BND = fuse(x_BND, x_BND.shape[1])
        m_BND = m_BND + self.dropout(self.mixed(self.mixed_norm(m_BND)))
        back_BND = self.own_norm(reconstruct(m_BND, x_BND.shape[1]))
        y_BND: Tensor = x_BND + self.dropout(self.own(back_BND))
        return y_BND
