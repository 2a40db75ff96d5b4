"""What stands in HeMix's places when an ablation says so.

Section 3.5 of the specification mirrors the paper's ablations; the paper's own were not public, so
their exact form is INFERRED. Axes as in :mod:`models.hemix`.

- recent queries: Chai et al., LONGER, arXiv 2505.04421 (query = the most recent events);
- DIN: Zhou et al., Deep Interest Network, arXiv 1706.06978, eq. 3;
- self-attention block: Vaswani et al., arXiv 1706.03762;
- RankMixer block: Zhu et al., arXiv 2507.15551 (parameter-free mixing, H = N);
- TokenMixer-Large block: arXiv 2602.06563 (mix, per-token SwiGLU, revert, per-token SwiGLU).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from models.attention.events import Events
from models.attention.mixed import Interest, MixedHeteroAttention
from models.chance import Dropout
from models.hemix import HeteroMixerBlock, HeteroMixing, fuse, reconstruct
from models.hemix_config import HeMixConfig, SequenceName
from models.layers import MLP, split_axis, xavier_slices_

DIN_HIDDEN = (32,)


class RecentQueries(MixedHeteroAttention):
    """The most recent events take the fixed queries' place; absent ones are zero vectors."""

    def __init__(self, config: HeMixConfig, dynamic: int, fixed: int, event_width: int) -> None:
        super().__init__(config, dynamic, fixed, event_width)
        del self.fixed
        self.recent = nn.Parameter(xavier_slices_(torch.empty(event_width, config.token_width)))

    def static_queries(self, events: Events) -> Tensor:
        """``[B, F, D]``, the latest event first."""
        return events.latest(self.count) @ self.recent


class MeanInterest(Interest):
    """One token a sequence: the mean of its events, projected; zero when it is empty."""

    def __init__(self, config: HeMixConfig, event_width: int) -> None:
        super().__init__()
        self.value = nn.Parameter(xavier_slices_(torch.empty(event_width, config.token_width)))

    def encode(self, events: Events) -> Tensor:
        """``[B, 1, D]``."""
        count = events.offsets.diff()[:, None]
        mean = events.through(events.sums(events.values) / count.clamp(min=1)) * (count > 0)
        return (mean @ self.value)[:, None]

    def forward(self, seen: object, t_BND: Tensor) -> Tensor:
        assert isinstance(seen, Tensor)
        return seen.expand(len(t_BND), -1, -1)


class DINInterest(Interest):
    """One token a sequence: events weighted by a network of event and target, not normalised.

    The target is the mean of the NS tokens of the sequence's group, which hold the candidate.
    """

    def __init__(self, config: HeMixConfig, event_width: int) -> None:
        super().__init__()
        width = config.token_width
        self.value = nn.Parameter(xavier_slices_(torch.empty(event_width, width)))
        self.score = MLP(4 * width, DIN_HIDDEN)
        self.out = nn.Linear(DIN_HIDDEN[-1], 1)

    def encode(self, events: Events) -> Events:
        """The events projected, ``[T, D]``."""
        return Events(values=events.projected() @ self.value, offsets=events.offsets)

    def forward(self, seen: object, t_BND: Tensor) -> Tensor:
        assert isinstance(seen, Events)
        target_BD = t_BND.mean(1)
        if seen.rows == 1:  # one request: every candidate reads all its events
            h_BLD = seen.values.expand(len(target_BD), -1, -1)
            weight = self._weight(h_BLD, target_BD[:, None].expand_as(h_BLD))
            return (weight * h_BLD).sum(1, keepdim=True)
        h_TD = seen.values
        weight = self._weight(h_TD, target_BD.index_select(0, seen.whose()))
        return seen.sums(weight * h_TD)[:, None]

    def _weight(self, h: Tensor, target: Tensor) -> Tensor:
        weight: Tensor = self.out(self.score(torch.cat([h, target, h - target, h * target], -1)))
        return weight


class SelfAttention(nn.Module):
    """Multi-head self-attention over the tokens, the Transformer's mixing."""

    def __init__(self, config: HeMixConfig) -> None:
        super().__init__()
        width = config.token_width
        self.heads = config.mix_heads
        self.qkv = nn.Parameter(xavier_slices_(torch.empty(3, width, width)))
        self.out = nn.Parameter(xavier_slices_(torch.empty(width, width)))

    def forward(self, x_BND: Tensor) -> Tensor:
        q, k, v = (
            split_axis(x_BND @ weight, -1, (self.heads, -1)).transpose(1, 2) for weight in self.qkv
        )
        return fn.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2) @ self.out


class TokenMixing(nn.Module):
    """RankMixer's: token n becomes head n of all tokens; no parameters, H = N."""

    def forward(self, x_BND: Tensor) -> Tensor:
        return fuse(x_BND, x_BND.shape[1])


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


def interest_of(config: HeMixConfig, name: SequenceName, event_width: int) -> Interest:
    """What reads the sequence ``name``."""
    if config.interest == "mean":
        return MeanInterest(config, event_width)
    if config.interest == "din":
        return DINInterest(config, event_width)
    kind = RecentQueries if config.interest == "recent" else MixedHeteroAttention
    return kind(config, *config.queries(name), event_width)


def block_of(config: HeMixConfig) -> nn.Module:
    """One block of the mixer."""
    if config.mixer == "tokenmixer_large":
        hidden = config.ffn_expansion * config.token_width
        return TokenMixerLargeBlock(config.tokens, config.token_width, hidden, config.dropout)
    mixing: nn.Module | None = None
    if config.mixer == "hetero":
        mixing = HeteroMixing(config)
    elif config.mixer == "transformer":
        mixing = SelfAttention(config)
    elif config.mixer == "rankmixer":
        mixing = TokenMixing()
    return HeteroMixerBlock(config, mixing)
