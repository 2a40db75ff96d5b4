"""Alternative modules that HeMix's ablations put in place of its own.

They mirror the paper's ablations, which were not public, and what the paper leaves open: their exact
form is INFERRED. Axes as in :mod:`hemix.models.rankers.hemix.model`.

- recent queries: Chai et al., LONGER, arXiv 2505.04421 (query = the most recent events);
- DIN: Zhou et al., Deep Interest Network, arXiv 1706.06978, eq. 3;
- self-attention block: Vaswani et al., arXiv 1706.03762;
- SwiGLU: Shazeer, arXiv 2002.05202;
- RankMixer block: Zhu et al., arXiv 2507.15551 (parameter-free mixing, H = N);
- TokenMixer-Large block: arXiv 2602.06563 (mix, per-token SwiGLU, revert, per-token SwiGLU).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.errors import DefinitionError
from hemix.models.layers.attention.events import Events
from hemix.models.layers.attention.mixed import (
    Interest,
    MixedAttentionShape,
    MixedHeteroAttention,
)
from hemix.models.layers.batch_rng import Dropout, dropout_events
from hemix.models.layers.compiling import left_alone
from hemix.models.layers.dense import MLP, split_axis, xavier_slices_
from hemix.models.layers.per_token import HeteroFFN, TokenMixerLargeBlock, fuse
from hemix.models.rankers.hemix.config import HeMixConfig, SequenceName
from hemix.models.rankers.hemix.mixing import (
    NORMS,
    HeteroMixerBlock,
    HeteroMixing,
    stack_as_fan_,
)

DIN_HIDDEN = (32,)
DIN_ROOM = 1 << 20
"""Numbers that DIN's network is shown at a time when many candidates read the events of one request."""


class RecentQueries(MixedHeteroAttention):
    """The most recent events take the fixed queries' place; absent ones are zero vectors."""

    def __init__(
        self, shape: MixedAttentionShape, kv_source: MixedHeteroAttention | None = None
    ) -> None:
        super().__init__(shape, kv_source)
        del self.fixed
        self.recent = nn.Parameter(xavier_slices_(torch.empty(shape.event_width, shape.width)))

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

    def forward(self, encoded: object, t_BND: Tensor) -> Tensor:
        assert isinstance(encoded, Tensor)
        return encoded.expand(len(t_BND), -1, -1)


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

    def forward(self, encoded: object, t_BND: Tensor) -> Tensor:
        assert isinstance(encoded, Events)
        target_BD = t_BND.mean(1)
        if encoded.rows == 1:  # one request: every candidate reads all its events
            some = max(1, DIN_ROOM // max(1, 4 * encoded.values.numel()))
            return torch.cat(
                [self._of_all(encoded.values, part) for part in torch.split(target_BD, some)]
            )
        h_TD = encoded.values
        weight = self._weight(h_TD, target_BD.index_select(0, encoded.whose()))
        return encoded.sums(weight * h_TD)[:, None]

    def _of_all(self, h_LD: Tensor, target_BD: Tensor) -> Tensor:
        """What candidates read of the same events: ``[B, 1, D]``."""
        h_BLD = h_LD.expand(len(target_BD), -1, -1)
        weight = self._weight(h_BLD, target_BD[:, None].expand_as(h_BLD))
        return (weight * h_BLD).sum(1, keepdim=True)

    def _weight(self, h: Tensor, target: Tensor) -> Tensor:
        weight: Tensor = self.out(self.score(torch.cat([h, target, h - target, h * target], -1)))
        return weight


class HeteroSwiGLU(HeteroFFN):
    """A SwiGLU network for every token where a HeteroFFN stands, with its biases: one matrix more."""

    def __init__(self, tokens: int, width: int, hidden: int, *, shared: bool = False) -> None:
        super().__init__(tokens, width, hidden, shared=shared)
        self.gate = nn.Parameter(xavier_slices_(torch.empty_like(self.up)))
        self.gate_bias = nn.Parameter(torch.zeros_like(self.up_bias))

    def hidden(self, x_BND: Tensor) -> Tensor:
        gate = self.apply_own(x_BND, self.gate) + self.gate_bias
        return fn.silu(gate) * (self.apply_own(x_BND, self.up) + self.up_bias)


class EventEncoder(nn.Module):
    """One light Transformer layer over the events of a row, before anything reads them.

    Every event sees every other of its row. The attention is ``D`` wide, whatever the events' width
    ``S``, so that its heads always fit; then a GELU network of ``ffn_expansion``, both with residual
    and the blocks' kind of norm. It sees no candidate and belongs to the request.

    Inside the attention alone, rows are padded to the longest of the batch and rows without events
    left out: time grows with the square of that length.
    """

    def __init__(self, config: HeMixConfig, event_width: int) -> None:
        super().__init__()
        width, norm = config.token_width, NORMS[config.norm]
        self.heads, self.pre = config.attention_heads, config.pre_norm
        self.qkv = nn.Parameter(xavier_slices_(torch.empty(3, event_width, width)))
        self.out = nn.Parameter(xavier_slices_(torch.empty(width, event_width)))
        self.ffn = HeteroFFN(1, event_width, config.ffn_expansion * event_width)
        self.attention_norm, self.ffn_norm = norm(event_width), norm(event_width)
        self.dropout = Dropout(config.dropout)

    def forward(self, e_TS: Tensor, offsets: Tensor, longest: int) -> Tensor:
        """Events ``[T, S]``, row after row, to events; ``longest`` as in :class:`Jagged`."""

        def dropped(y_TS: Tensor) -> Tensor:
            if not (self.training and self.dropout.p):
                return y_TS
            return y_TS * dropout_events(self.dropout, offsets, longest, y_TS.shape[1])

        def ffn(x_TS: Tensor) -> Tensor:
            y_TS: Tensor = self.ffn(x_TS[:, None])[:, 0]
            return y_TS

        if self.pre:
            e_TS = e_TS + dropped(self._attend(self.attention_norm(e_TS), offsets))
            return e_TS + dropped(ffn(self.ffn_norm(e_TS)))
        e_TS = self.attention_norm(e_TS + dropped(self._attend(e_TS, offsets)))
        y_TS: Tensor = self.ffn_norm(e_TS + dropped(ffn(e_TS)))
        return y_TS

    @left_alone  # its shapes hang on the data: nothing to compile once
    def _attend(self, x_TS: Tensor, offsets: Tensor) -> Tensor:
        q_TD, k_TD, v_TD = (x_TS @ weight for weight in self.qkv)
        if not len(x_TS):  # nothing to read; all weights still get a gradient, of zeros
            return (q_TD + k_TD + v_TD) @ self.out
        lengths = offsets.diff()
        lengths = lengths[lengths > 0]
        there_BL = torch.arange(int(lengths.max()), device=lengths.device) < lengths[:, None]

        def padded(y_TD: Tensor) -> Tensor:
            y_BLD = y_TD.new_zeros(*there_BL.shape, y_TD.shape[1])
            y_BLD[there_BL] = y_TD
            return split_axis(y_BLD, -1, (self.heads, -1)).transpose(1, 2)

        mask = None if len(lengths) == 1 else there_BL[:, None, None]
        read_BALa = fn.scaled_dot_product_attention(
            padded(q_TD), padded(k_TD), padded(v_TD), attn_mask=mask
        )
        return read_BALa.transpose(1, 2).flatten(2)[there_BL] @ self.out


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


def interests_of(config: HeMixConfig, event_width: int, lengths: Sequence[int]) -> list[Interest]:
    """What reads each sequence that is read, of at most ``lengths`` events; all but the first may use
    its keys and values."""
    interests: list[Interest] = []
    for name, length in zip(config.active_sequences, lengths, strict=True):
        first = interests[0] if interests and config.share_keys else None
        kv_source = first if isinstance(first, MixedHeteroAttention) else None
        shape = attention_shape(config, name, event_width, length)
        interests.append(_interest_of(config, shape, kv_source))
    return interests


def _interest_of(
    config: HeMixConfig, shape: MixedAttentionShape, kv_source: MixedHeteroAttention | None
) -> Interest:
    if config.interest == "mean":
        return MeanInterest(config, shape.event_width)
    if config.interest == "din":
        return DINInterest(config, shape.event_width)
    recent = config.interest == "recent" and shape.fixed > 0
    attention = (RecentQueries if recent else MixedHeteroAttention)(shape, kv_source)
    if config.stacked_init == "stack":
        stack_as_fan_(attention)
        if not recent:
            nn.init.xavier_uniform_(attention.fixed[None])
    return attention


def attention_shape(
    config: HeMixConfig, name: SequenceName, event_width: int, length: int
) -> MixedAttentionShape:
    """Of the attention over one sequence of at most ``length`` events of ``event_width``."""
    dynamic, fixed = config.queries(name)
    return MixedAttentionShape(
        width=config.token_width,
        event_width=event_width,
        heads=config.attention_heads,
        dynamic=dynamic,
        fixed=fixed,
        own_projections=config.query_projection == "own",
        null_item=config.null_item,
        learned_null=config.null_form == "learned",
        places=length if config.null_form == "padding" else None,
        query_residual=config.query_residual,
    )


def block_of(config: HeMixConfig, tokens: int) -> nn.Module:
    """One block of the mixer, over ``tokens``.

    Raises:
        DefinitionError: the mixer cannot split a token among them.
    """
    try:
        config.require_split(tokens)
    except ValueError as error:
        hint = "readout=task adds a token a task: change model.token_width or a number of queries."
        raise DefinitionError(f"{error}.", hint=hint) from error
    width, hidden = config.token_width, config.ffn_expansion * config.token_width
    if config.mixer == "tokenmixer_large":
        return TokenMixerLargeBlock(tokens, width, hidden, config.dropout)
    mixing: nn.Module | None = None
    if config.mixer == "hetero":
        mixing = HeteroMixing(config, tokens)
    elif config.mixer == "transformer":
        mixing = SelfAttention(config)
    elif config.mixer == "rankmixer":
        mixing = TokenMixing()
    kind = HeteroSwiGLU if config.ffn == "swiglu" else HeteroFFN
    return HeteroMixerBlock(config, mixing, kind(tokens, width, hidden, shared=config.shared_ffn))
