"""LONGER: global tokens and the latest events read a long sequence whose adjacent events are merged.

Paper: Chai et al., "LONGER: Scaling Up Long Sequence Modeling in Industrial Recommenders",
RecSys 2025, arXiv 2505.04421.

Axes: B rows · L events of both sequences, the latest first · e event width, K events a merged token,
D = K * e · M = ceil(L / K) merged tokens · k of them as queries · m global tokens.

    events  h_j = e_j W + p_j, p by recency; e_j holds item, side columns, action and time gap
    merge   H_i = [InnerTrans(h_{iK}, ..., h_{iK+K-1})] side by side                 [B, M, D]
    global  G = [candidate ; user ; CLS]                                            [B, m = 3, D]
    layer 1 cross-causal: queries [G ; H_1..k], keys and values [G ; H]
    then    N self-causal layers over [G ; H_1..k]; mask: position i sees j >= i
    out     concat(fields, G) -> MLP -> towers

With the candidate first and the latest event before older ones, the paper's printed mask ``j >= i``
says: the candidate sees everything, an event sees itself and what was before it, nothing sees the
candidate. So all but the candidate's own token is computed once per request and kept as keys and values
(models/layers/causal.py), the paper's KV cache.

INFERRED: that order; the user token from all user and context fields, the candidate token from all
item fields (the contract has no crosses of both); the norms' place and GELU; one head inside a merged
token; groups counted from the latest event, the oldest one filled with zeros; the readout of G (the
last layer's events are read by nobody and not computed); the fields beside G in the tasks' network,
where the paper joins its base model's features. Both sequences of the contract are one here, as the
paper has one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.data.batch import Batch
from hemix.models.embedding.event_timeline import Timeline, timeline, timeline_length
from hemix.models.layers.causal import CausalLayer, CausalStack, Memory, Norm
from hemix.models.layers.dense import mlp_flops, split_axis, xavier_slices_
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, Ranker, RankerConfig
from hemix.models.rankers.vector import SharedMLP
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec

USER_TOKENS = 2
"""Global tokens that no candidate changes: user and CLS."""


class LONGERConfig(RankerConfig):
    """Shape of a LONGER."""

    search: ClassVar[Space] = {
        **RankerConfig.search,
        "event_width": Choice(choices=(8, 16, 32)),
        "merge": Choice(choices=(2, 4, 8)),
        "recent": Choice(choices=(4, 8, 16)),
        "layers": Range(low=0, high=2),
        "norm": Choice(choices=("layer", "none")),
        "trunk": Choice(choices=([128], [448], [448, 128])),
    }

    event_width: int = Field(default=16, ge=1)
    """e: width of an event before merging."""
    merge: int = Field(default=4, ge=1)
    """K: adjacent events that become one token of width K * e."""
    recent: int = Field(default=8, ge=0)
    """k: latest merged tokens that act as queries, beside the global ones."""
    heads: int = Field(default=2, ge=1)
    """Attention heads; the token width must be a multiple."""
    layers: int = Field(default=1, ge=0)
    """N: self-causal layers after the cross-causal one."""
    expansion: int = Field(default=4, ge=1)
    """Hidden width of a layer's feed-forward network, in token widths."""
    norm: Norm = "none"
    """The layers' norm; layer needs more data than the default shape is for (docs/model-zoo.md)."""
    trunk: tuple[int, ...] = Field(default=(448,), min_length=1)
    """Hidden widths of the MLP that the tasks share."""
    tower: tuple[int, ...] = (64,)
    """Hidden widths of each task's own MLP behind the trunk."""

    @property
    def token_width(self) -> int:
        """D."""
        return self.merge * self.event_width

    @model_validator(mode="after")
    def _consistent(self) -> LONGERConfig:
        if self.token_width % self.heads:
            raise ValueError(f"merge * event_width {self.token_width} is not a multiple of heads")
        return self


@dataclass(frozen=True, kw_only=True)
class Remembered:
    """A request's share: the trunk's (fields, user token and CLS), and a memory a layer."""

    trunk: Tensor
    memories: tuple[Memory, ...]


class LONGER(Ranker):
    """LONGER (Chai et al., RecSys 2025); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> config = LONGERConfig(event_width=4, merge=2, recent=2)
        >>> LONGER(toy_spec(), config)(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "longer"
    config_type = LONGERConfig

    def __init__(self, spec: FeatureSpec, config: LONGERConfig) -> None:
        super().__init__(spec, config)
        self.config, width = config, config.token_width
        event = len(spec.sequences[0].columns) * config.embedding.width
        self.length = timeline_length(spec)
        self.event = nn.Parameter(xavier_slices_(torch.empty(event, config.event_width)))
        self.positions = nn.Parameter(torch.randn(self.length, config.event_width) * 0.02)
        # An InnerTrans is a layer with one head in which all K events see each other.
        self.inner = CausalLayer(config.event_width, 1, config.expansion, config.norm, 0.0)
        self.user = nn.Linear(self.width_of(REQUEST_SIDES), width)
        self.candidate = nn.Linear(self.width_of(ITEM_SIDES), width)
        for linear in (self.user, self.candidate):
            nn.init.xavier_uniform_(linear.weight)
            nn.init.zeros_(linear.bias)
        self.cls = nn.Parameter(torch.randn(1, width) * 0.02)
        shape = width, config.heads, config.expansion, config.norm, config.dropout
        keep = [USER_TOKENS + config.recent] * config.layers + [USER_TOKENS]
        self.stack = CausalStack([CausalLayer(*shape) for _ in keep], keep)
        request = self.width_of(REQUEST_SIDES) + USER_TOKENS * width
        rest = self.width_of(ITEM_SIDES) + width
        self.trunk = SharedMLP(request, rest, config.trunk, config.dropout)
        self.tower = self.towers(self.trunk.width, config)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        return self.score_candidates(self.encode_request(batch), batch)

    def encode_request(self, request: Batch) -> Remembered:
        """Everything but the candidate's token, layer by layer."""
        fields = self.embedding.fields(request, REQUEST_SIDES).flatten(1)
        merged, used = self.merge(timeline(self.embedding, request))
        first = torch.stack([self.user(fields), self.cls.expand(len(fields), -1)], 1)
        mask = torch.cat([used.new_ones(len(used), USER_TOKENS), used], 1)
        memories, left = self.stack.encode(torch.cat([first, merged], 1), mask)
        trunk = self.trunk.shared(torch.cat([fields, left.flatten(1)], 1))
        return Remembered(trunk=trunk, memories=memories)

    def merge(self, line: Timeline) -> tuple[Tensor, Tensor]:
        """Merged tokens ``[b, M, D]`` and which of them hold an event, ``[b, M]``."""
        k, (rows, length) = self.config.merge, line.mask.shape
        slot = torch.arange(length, device=line.mask.device).clamp(max=self.length - 1)
        h = line.events @ self.event + self.positions[slot]
        h, mask = fn.pad(h, (0, 0, 0, -length % k)), fn.pad(line.mask, (0, -length % k))
        h, mask = (split_axis(x, 1, (-1, k)).flatten(0, 1) for x in (h, mask))
        used = mask[..., None]
        h = self.inner.encode(h * used, mask, k, causal=False)[1] * used
        groups = len(h) // max(rows, 1)
        return h.reshape(rows, groups, self.config.token_width), mask.reshape(rows, groups, k).any(
            2
        )

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` of ``B`` candidates; ``state`` holds one request or one a candidate."""
        assert isinstance(state, Remembered)
        fields = self.embedding.fields(items, ITEM_SIDES).flatten(1)
        token = self.stack(state.memories, self.candidate(fields)[:, None])
        hidden = self.trunk.own(state.trunk, torch.cat([fields, token.flatten(1)], 1))
        return {task: tower(hidden) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """At full lengths: all but the candidate's token is the request's."""
        c, width = self.config, self.config.token_width
        merged = -(-self.length // c.merge)
        inner, _ = self.inner.flops(c.merge, c.merge, 0)
        parts = [
            (2 * self.length * self.event.numel() + merged * inner, 0),
            (2 * self.user.in_features * width, 2 * self.candidate.in_features * width),
            self.stack.flops(USER_TOKENS + merged, 1),
            self.trunk.flops(),
            (0, len(self.tower) * mlp_flops(self.trunk.width, (*c.tower, 1))),
        ]
        return {"request": sum(p[0] for p in parts), "candidate": sum(p[1] for p in parts)}
