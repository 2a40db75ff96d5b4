"""Causal attention over [a user's tokens ; a candidate's], the user's side computed once.

Axes: B rows · b rows of the user's side (B, or 1 for all candidates of a request) · M tokens of it,
the latest first · n tokens of the candidate · D width · H heads, d = D/H · P parameter sets.

The latest token comes first, so a token sees itself and those behind it (``j >= i``), and "the
latest k tokens" are the first k whatever a row's padding. No token of the user's side sees the
candidate's; these see all of the user's side, those before them, and themselves. So keys and values
of the user's side serve every candidate of a request.

    Z = X + WO concat_heads(softmax(q k' / sqrt(d) + mask) v) ,  q, k, v = N(X) W{Q,K,V}
    Y = Z + W2 GELU(W1 N(Z) + b1) + b2                           N: LayerNorm, RMSNorm or none

Parameter set 0 serves the user's side; the candidate's n tokens use the last n sets, one each (with
one set alone, the same one).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.batch_rng import Dropout
from hemix.models.layers.dense import split_axis, xavier_slices_

Norm = Literal["layer", "rms", "none"]


def product(x_BHnk: Tensor, y_bHkm: Tensor) -> Tensor:
    """``x @ y [B, H, n, m]``; a single row of y serves all rows of x as one large product."""
    if len(y_bHkm) == len(x_BHnk):
        return x_BHnk @ y_bHkm
    rows, _, count, _ = x_BHnk.shape
    flat = x_BHnk.transpose(0, 1).flatten(1, 2)[None] @ y_bHkm
    return split_axis(flat[0], 1, (rows, count)).transpose(0, 1)


def norm_of(kind: Norm, width: int) -> nn.Module:
    """A norm over the last axis."""
    return {"layer": nn.LayerNorm, "rms": nn.RMSNorm, "none": nn.Identity}[kind](width)


@dataclass(frozen=True, kw_only=True)
class Memory:
    """The user's side at one layer: ``keys``, ``values`` ``[b, H, M, d]``, ``mask [b, M]``."""

    keys: Tensor
    values: Tensor
    mask: Tensor


class CausalLayer(nn.Module):
    """One layer of the module's text.

    Args:
        width: D.
        heads: H.
        expansion: hidden width of the feed-forward network over D.
        norm: of both parts.
        dropout: share of both parts' outputs dropped in training.
        sets: P: parameter sets.
    """

    def __init__(
        self, width: int, heads: int, expansion: int, norm: Norm, dropout: float, sets: int = 1
    ) -> None:
        super().__init__()
        self.heads, self.sizes = heads, (width, expansion * width)
        self.query, self.key, self.value = (
            nn.Parameter(xavier_slices_(torch.empty(sets, width, width))) for _ in range(3)
        )
        self.out = nn.Parameter(xavier_slices_(torch.empty(width, width)))
        self.up = nn.Parameter(xavier_slices_(torch.empty(sets, *self.sizes)))
        self.up_bias = nn.Parameter(torch.zeros(sets, self.sizes[1]))
        self.down = nn.Parameter(xavier_slices_(torch.empty(sets, *self.sizes[::-1])))
        self.down_bias = nn.Parameter(torch.zeros(sets, width))
        self.attention_norm, self.ffn_norm = norm_of(norm, width), norm_of(norm, width)
        self.dropout = Dropout(dropout)

    def encode(
        self, x_bMD: Tensor, mask: Tensor, keep: int, *, causal: bool = True
    ) -> tuple[Memory, Tensor]:
        """What candidates need of the user's side, and its first ``keep`` tokens after the layer.

        Without ``causal`` every token sees every other.
        """
        x = self.attention_norm(x_bMD)
        memory = Memory(
            keys=self._split(x @ self.key[0]), values=self._split(x @ self.value[0]), mask=mask
        )
        keep = min(keep, x.shape[1])
        if not keep:
            return memory, x_bMD[:, :0]
        query = self._split(x[:, :keep] @ self.query[0])
        at = torch.arange(x.shape[1], device=x.device)
        seen = at >= (at[:keep, None] if causal else 0)
        itself = at == at[:keep, None]  # an unused slot sees itself: no NaN
        allowed = seen & mask[:, None, None] | itself
        read = fn.scaled_dot_product_attention(query, memory.keys, memory.values, allowed)
        z = x_bMD[:, :keep] + self.dropout(self._merge(read) @ self.out)
        h = fn.gelu(self.ffn_norm(z) @ self.up[0] + self.up_bias[0])
        return memory, z + self.dropout(h @ self.down[0] + self.down_bias[0])

    def forward(self, memory: Memory, x_BnD: Tensor) -> Tensor:
        """The candidate's tokens ``[B, n, D]`` after the layer."""
        x, n = self.attention_norm(x_BnD), x_BnD.shape[1]
        q, k, v = (self._split(self._own(x, w)) for w in (self.query, self.key, self.value))
        past = product(q, memory.keys.transpose(-1, -2))
        past = past.masked_fill(~memory.mask[:, None, None], torch.finfo(past.dtype).min)
        later = torch.ones(n, n, dtype=torch.bool, device=x.device).triu(1)
        own = (q @ k.transpose(-1, -2)).masked_fill(later, torch.finfo(past.dtype).min)
        weight = (torch.cat([past, own], -1) / q.shape[-1] ** 0.5).softmax(-1)
        read = product(weight[..., :-n], memory.values) + weight[..., -n:] @ v
        z = x_BnD + self.dropout(self._merge(read) @ self.out)
        h = fn.gelu(self._own(self.ffn_norm(z), self.up) + self.up_bias[-n:])
        y: Tensor = z + self.dropout(self._own(h, self.down) + self.down_bias[-n:])
        return y

    @staticmethod
    def _own(x_BnD: Tensor, weight_PDK: Tensor) -> Tensor:
        return torch.einsum("bnd,ndk->bnk", x_BnD, weight_PDK[-x_BnD.shape[1] :])

    def _split(self, x_BMD: Tensor) -> Tensor:
        return split_axis(x_BMD, -1, (self.heads, -1)).transpose(1, 2)

    @staticmethod
    def _merge(x_BHMd: Tensor) -> Tensor:
        return x_BHMd.transpose(1, 2).flatten(2)

    def flops(self, tokens: int, keep: int, own: int) -> tuple[int, int]:
        """Of M ``tokens`` of which ``keep`` go on, and ``own`` of the candidate: request, candidate."""
        d, hidden = self.sizes
        one = 4 * d * d + 4 * d * hidden  # query, WO, FFN of a token
        request = tokens * 4 * d * d + keep * (one + 4 * tokens * d)
        return request, own * (one + 4 * d * d + 4 * (tokens + own) * d)


class CausalStack(nn.Module):
    """Layers of which the i-th hands on the first ``keep[i]`` tokens of the user's side."""

    def __init__(self, layers: Sequence[CausalLayer], keep: Sequence[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.keep = tuple(keep)

    def encode(self, x_bMD: Tensor, mask: Tensor) -> tuple[tuple[Memory, ...], Tensor]:
        """A memory a layer, and the tokens ``[b, keep[-1], D]`` that are left of the user's side."""
        memories = []
        for layer, keep in zip(self._layers(), self.keep, strict=True):
            memory, x_bMD = layer.encode(x_bMD, mask, keep)
            memories.append(memory)
            mask = mask[:, : x_bMD.shape[1]]
        return tuple(memories), x_bMD

    def forward(self, memories: tuple[Memory, ...], x_BnD: Tensor) -> Tensor:
        """The candidate's tokens ``[B, n, D]`` after all layers."""
        for layer, memory in zip(self._layers(), memories, strict=True):
            x_BnD = layer(memory, x_BnD)
        return x_BnD

    def _layers(self) -> list[CausalLayer]:
        return [layer for layer in self.layers if isinstance(layer, CausalLayer)]

    def flops(self, tokens: int, own: int) -> tuple[int, int]:
        """Of M ``tokens`` of the user's side and ``own`` of the candidate: request, candidate."""
        request = candidate = 0
        for layer, keep in zip(self._layers(), self.keep, strict=True):
            keep = min(keep, tokens)
            shared, single = layer.flops(tokens, keep, own)
            request, candidate, tokens = request + shared, candidate + single, keep
        return request, candidate
