"""OneTrans: one causal Transformer over the behaviour tokens and the feature tokens together.

Paper: Zhang et al., "OneTrans: Unified Feature Interaction and Sequence Modeling with One
Transformer in Industrial Recommender", WWW 2026, arXiv 2510.26104.

Axes: B rows · S behaviour tokens (both sequences and [SEP]) · N feature tokens (NS) · D token width.

    NS      split(MLP(concat(fields)), N)                             Auto-Split     [B, N, D]
    S       e_j W_sequence, in time order: global, [SEP], real-time                  [B, S, D]
    layer   X = [S ; NS];  Z = X + MixedMHA(RMS(X));  X' = Z + MixedFFN(RMS(Z)), causal
            Q, K, V and FFN weights: one set for all of S, an own set for every NS token
    pyramid layer l hands on the latest S (L - l) / L behaviour tokens, the last one none
    out     the NS tokens side by side -> towers

S comes before NS, so no behaviour token sees a feature: S is computed once per request and kept as
keys and values (models/layers/causal.py), the paper's KV cache. NS tokens see all of S that is left, and
the NS tokens before them. The candidate is part of the fields.

INFERRED: one hidden layer in the tokenizer's MLP; one projection a sequence instead of an MLP; a
learned [SEP] between the sequences (the contract orders events but holds no times; all real-time
events come after the global ones, so this is the time order); GELU; WO shared by all tokens; the
linear pyramid, counted from the longest S the contract allows so that padding changes nothing; no norm
after the last layer. Axes of the parameter sets: 0 is S's, 1.. the NS tokens'; of the last layer's
set 0 only the keys' and values' weights are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from hemix.models.data.batch import Batch
from hemix.models.embedding.event_timeline import timeline, timeline_length
from hemix.models.layers.causal import CausalLayer, CausalStack, Memory, Norm
from hemix.models.layers.dense import mlp_flops, split_axis, xavier_slices_
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, Ranker, RankerConfig
from hemix.models.rankers.vector import SharedMLP
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class OneTransConfig(RankerConfig):
    """Shape of a OneTrans."""

    search: ClassVar[Space] = {
        **RankerConfig.search,
        "tokens": Range(low=2, high=6),
        "token_width": Choice(choices=(32, 64)),
        "hidden": Choice(choices=(128, 256)),
        "layers": Range(low=1, high=3),
        "pyramid": Choice(choices=(True, False)),
        "norm": Choice(choices=("rms", "none")),
    }

    tokens: int = Field(default=4, ge=1)
    """N: feature (NS) tokens, each with weights of its own."""
    token_width: int = Field(default=64, ge=1)
    """D: width of a token; a multiple of `heads`."""
    hidden: int = Field(default=256, ge=1)
    """Hidden width of the tokenizer's MLP."""
    heads: int = Field(default=2, ge=1)
    """Attention heads."""
    layers: int = Field(default=2, ge=1)
    """L: Transformer layers."""
    expansion: int = Field(default=2, ge=1)
    """Hidden width of a feed-forward network, in token widths."""
    pyramid: bool = True
    """Each layer hands on fewer behaviour tokens, the latest; false: all of them until the last
    layer."""
    norm: Norm = "none"
    """The layers' norm; the paper's rms needs more data than the default shape is for (docs/model-
    zoo.md)."""
    tower: tuple[int, ...] = (64,)
    """Hidden widths of each task's own MLP."""

    @model_validator(mode="after")
    def _consistent(self) -> OneTransConfig:
        if self.token_width % self.heads:
            raise ValueError(f"token_width {self.token_width} is not a multiple of heads")
        return self

    def keep(self, length: int) -> list[int]:
        """Behaviour tokens of ``length`` that every layer hands on; nobody reads the last layer's."""
        left = [length * (self.layers - layer) // self.layers for layer in range(1, self.layers)]
        return [*(left if self.pyramid else [length] * (self.layers - 1)), 0]


@dataclass(frozen=True, kw_only=True)
class Behaviours:
    """A request's share: the tokenizer's, and a memory a layer."""

    tokenizer: Tensor
    memories: tuple[Memory, ...]


class OneTrans(Ranker):
    """OneTrans (Zhang et al., WWW 2026); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> OneTrans(toy_spec(), OneTransConfig(token_width=8))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "onetrans"
    config_type = OneTransConfig

    def __init__(self, spec: FeatureSpec, config: OneTransConfig) -> None:
        super().__init__(spec, config)
        self.config, width = config, config.token_width
        self.length = timeline_length(spec, separator=True)
        event = len(spec.sequences[0].columns) * config.embedding.width
        self.older = nn.Parameter(xavier_slices_(torch.empty(event, width)))
        self.newer = nn.Parameter(xavier_slices_(torch.empty(event, width)))
        self.separator = nn.Parameter(torch.randn(width) * 0.02)
        sides = self.width_of(REQUEST_SIDES), self.width_of(ITEM_SIDES)
        self.hidden = SharedMLP(*sides, (config.hidden,))
        self.split = nn.Linear(config.hidden, config.tokens * width)
        nn.init.zeros_(self.split.bias)
        with torch.no_grad():  # Xavier a token: each is a product of its own
            slices = xavier_slices_(torch.empty(config.tokens, config.hidden, width))
            self.split.weight.copy_(slices.transpose(1, 2).flatten(0, 1))
        shape = width, config.heads, config.expansion, config.norm, config.dropout
        sets = 1 + config.tokens
        layers = [CausalLayer(*shape, sets=sets) for _ in range(config.layers)]
        self.stack = CausalStack(layers, config.keep(self.length))
        self.tower = self.towers(config.tokens * width, config)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        return self.score_candidates(self.encode_request(batch), batch)

    def encode_request(self, request: Batch) -> Behaviours:
        """The behaviour tokens, layer by layer."""
        line = timeline(self.embedding, request, separator=True)
        slot = torch.arange(line.mask.shape[1], device=line.mask.device)
        realtime = line.realtime[:, None]
        x = torch.where(
            (slot < realtime)[..., None], line.events @ self.newer, line.events @ self.older
        )
        x = torch.where((slot == realtime)[..., None], self.separator, x)
        memories, _ = self.stack.encode(x, line.mask)
        fields = self.embedding.fields(request, REQUEST_SIDES).flatten(1)
        return Behaviours(tokenizer=self.hidden.shared(fields), memories=memories)

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` of ``B`` candidates; ``state`` holds one request or one a candidate."""
        assert isinstance(state, Behaviours)
        item = self.embedding.fields(items, ITEM_SIDES).flatten(1)
        ns = self.split(self.hidden.own(state.tokenizer, item))
        ns_BND = split_axis(ns, -1, (self.config.tokens, self.config.token_width))
        u = self.stack(state.memories, ns_BND).flatten(1)
        return {task: tower(u) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """At full lengths; the behaviours are the request's, their projection by both weights."""
        c = self.config
        parts = [
            (4 * self.length * self.older.numel(), 0),
            self.hidden.flops(),
            (0, 2 * self.split.weight.numel()),
            self.stack.flops(self.length, c.tokens),
            (0, len(self.tower) * mlp_flops(c.tokens * c.token_width, (*c.tower, 1))),
        ]
        return {"request": sum(p[0] for p in parts), "candidate": sum(p[1] for p in parts)}
