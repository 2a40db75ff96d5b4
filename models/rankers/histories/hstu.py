"""HSTU: pointwise attention over one sequence of actions that ends in the candidate.

Paper: Zhai et al., "Actions Speak Louder than Words: Trillion-Parameter Sequential Transducers for
Generative Recommendations", ICML 2024, arXiv 2402.17152.

Axes: B rows · b rows of a request's share (B, or 1) · L events of both sequences, the latest first ·
D token width · H heads, d = D/H · N layers · n tokens of a row: its events and the candidate.

    tokens  x_j = sum over the columns c of event j of e_jc W_c (item, side columns, action, gap)
            x_t = the same for the candidate, whose action and gap are not there
    layer   U, V, Q, K = split(SiLU(f1(LN(X))))                                      eq. 1
            A = SiLU(Q K' + rab) / n, causal; no softmax                             eq. 2
            X' = X + f2(LN(A V) * U)                                                 eq. 3
    rab     rab_p[how many tokens back] + rab_t[time gap], own ones a layer, the same for all heads
    out     concat(fields, x_t after N layers) -> MLP -> towers

The candidate is the last token and no other sees it, so the events' keys and values at every layer
are computed once per request and all candidates read them (the paper's M-FALCON, without its
micro-batches).

Simplified: the paper interleaves item and action tokens, here an action is added to its item's
token (half the length; the candidate still has no action). One prediction a row, from the candidate,
as the data has one candidate a row. INFERRED: rab_t depends on how long before the request the key
was (the contract holds no time between two events; for the candidate's row it is the paper's); n
counts the row's tokens (public code divides by a constant; LN removes the difference); f1 without and
f2 with bias, LN(A V) without gain, as in the public code; the fields beside x_t in the tasks' network,
as in ranking models made of HSTU and the former features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.data.batch import Batch
from hemix.models.embedding.event_timeline import (
    candidate,
    shared_columns,
    timeline,
    timeline_length,
)
from hemix.models.layers.batch_rng import Dropout
from hemix.models.layers.causal import Norm, norm_of, product
from hemix.models.layers.dense import mlp_flops, split_axis, xavier_slices_
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, Ranker, RankerConfig
from hemix.models.rankers.vector import SharedMLP
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec, SequenceFeature

GAP = "gap"
"""The role of the column that holds an event's age at the request."""


class HSTUConfig(RankerConfig):
    """Shape of an HSTU."""

    search: ClassVar[Space] = {
        **RankerConfig.search,
        "token_width": Choice(choices=(32, 64, 128)),
        "heads": Choice(choices=(1, 2, 4)),
        "layers": Range(low=1, high=3),
        "norm": Choice(choices=("layer", "none")),
        "trunk": Choice(choices=([128], [640], [512, 256])),
    }

    token_width: int = Field(default=64, ge=1)
    """D: width of a token; a multiple of `heads`."""
    heads: int = Field(default=2, ge=1)
    """H: attention heads."""
    layers: int = Field(default=2, ge=1)
    """N: layers."""
    norm: Norm = "none"
    """The LN before f1; the paper's layer needs more data than the default shape is for
    (docs/model-zoo.md)."""
    trunk: tuple[int, ...] = Field(default=(640,), min_length=1)
    """Hidden widths of the MLP that the tasks share."""
    tower: tuple[int, ...] = (64,)
    """Hidden widths of each task's own MLP behind the trunk."""

    @model_validator(mode="after")
    def _consistent(self) -> HSTUConfig:
        if self.token_width % self.heads:
            raise ValueError(f"token_width {self.token_width} is not a multiple of heads")
        return self


@dataclass(frozen=True, kw_only=True)
class Past:
    """The events at one layer: ``keys``, ``values`` ``[b, H, L, d]``, and ``bias [b, L]``, what the
    candidate's scores get.
    """

    keys: Tensor
    values: Tensor
    bias: Tensor


@dataclass(frozen=True, kw_only=True)
class Transduced:
    """A request's share: the trunk's, the events at every layer, ``mask [b, L]``."""

    trunk: Tensor
    past: tuple[Past, ...]
    mask: Tensor


class HSTULayer(nn.Module):
    """One layer of the module's text; ``length``: the longest L, ``gaps``: ids of a time gap."""

    def __init__(self, config: HSTUConfig, length: int, gaps: int) -> None:
        super().__init__()
        width = config.token_width
        self.heads = config.heads
        self.norm = norm_of(config.norm, width)
        self.uvqk = nn.Parameter(xavier_slices_(torch.empty(4, width, width)))
        self.out = nn.Linear(width, width)
        nn.init.xavier_uniform_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        self.position = nn.Parameter(torch.randn(length + 1) * 0.02)
        self.time = nn.Parameter(torch.randn(gaps) * 0.02) if gaps else None
        self.dropout = Dropout(config.dropout)

    def encode(
        self, x_bLD: Tensor, mask: Tensor, gaps: Tensor | None, *, last: bool
    ) -> tuple[Past, Tensor]:
        """What candidates need of the events ``[b, L, D]``, and the events after the layer.

        ``mask [b, L]``; ``gaps [b, L]``: the events' time gaps. After the ``last`` layer nobody
        needs the events: they are returned as they came.
        """
        x, at = self.norm(x_bLD), torch.arange(x_bLD.shape[1], device=x_bLD.device)
        values, keys = self._activated(x, 1), self._activated(x, 3)
        known = None if self.time is None or gaps is None else self.time[gaps]
        time = x.new_zeros(mask.shape) if known is None else known
        past = Past(keys=keys, values=values, bias=self._rab(at + 1) + time)
        if last:
            return past, x_bLD
        back = at - at[:, None]
        score = self._activated(x, 2) @ keys.transpose(-1, -2)
        score = score + self._rab(back) + time[:, None, None]
        seen = (back >= 0) & mask[:, None, None]
        n = 1 + mask.sum(1)[:, None, None, None]
        read = (fn.silu(score) * seen / n) @ values
        return past, self._add(x_bLD, read, fn.silu(x @ self.uvqk[0]))

    def forward(self, past: Past, mask: Tensor, x_BD: Tensor) -> Tensor:
        """The candidates ``[B, D]`` after the layer."""
        x = self.norm(x_BD)[:, None]
        v, q, k = (self._activated(x, which) for which in (1, 2, 3))
        score = product(q, past.keys.transpose(-1, -2)) + past.bias[:, None, None]
        own = (q * k).sum(-1, keepdim=True) + self.position[0]
        n = 1 + mask.sum(1)[:, None, None, None]
        read = product(fn.silu(score) * mask[:, None, None], past.values) + fn.silu(own) * v
        return self._add(x_BD[:, None], read / n, fn.silu(x @ self.uvqk[0]))[:, 0]

    def _rab(self, back: Tensor) -> Tensor:
        return self.position[back.clamp(min=0, max=len(self.position) - 1)]

    def _activated(self, x_BLD: Tensor, which: int) -> Tensor:
        return split_axis(fn.silu(x_BLD @ self.uvqk[which]), -1, (self.heads, -1)).transpose(1, 2)

    def _add(self, x_BLD: Tensor, read_BHLd: Tensor, u_BLD: Tensor) -> Tensor:
        read = read_BHLd.transpose(1, 2).flatten(2)
        y: Tensor = self.out(self.dropout(fn.layer_norm(read, read.shape[-1:]) * u_BLD))
        return x_BLD + y

    def flops(self, length: int, *, last: bool) -> tuple[int, int]:
        """A request's share, a candidate's."""
        d = len(self.out.bias)
        request = length * (4 * d * d if last else 10 * d * d + 4 * length * d)
        return request, 10 * d * d + 4 * (length + 1) * d


class HSTU(Ranker):
    """HSTU (Zhai et al., ICML 2024); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> HSTU(toy_spec(), HSTUConfig(token_width=8))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "hstu"
    config_type = HSTUConfig

    def __init__(self, spec: FeatureSpec, config: HSTUConfig) -> None:
        super().__init__(spec, config)
        self.config, width = config, config.token_width
        self.length = timeline_length(spec)
        self.sequence: SequenceFeature = spec.sequences[0]
        columns = len(self.sequence.columns)
        weight = xavier_slices_(torch.empty(columns * config.embedding.width, width))
        self.event = nn.Parameter(weight)
        gap = self._gap_column
        gaps = 0 if gap is None else spec.vocabulary(self.sequence.columns[gap].vocabulary).size
        layers = range(config.layers)
        self.layers = nn.ModuleList([HSTULayer(config, self.length, gaps) for _ in layers])
        rest = self.width_of(ITEM_SIDES) + width
        self.trunk = SharedMLP(self.width_of(REQUEST_SIDES), rest, config.trunk, config.dropout)
        self.tower = self.towers(self.trunk.width, config)

    @property
    def _gap_column(self) -> int | None:
        roles = [column.role for column in self.sequence.columns]
        return roles.index(GAP) if GAP in roles else None

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        return self.score_candidates(self.encode_request(batch), batch)

    def encode_request(self, request: Batch) -> Transduced:
        """The events at every layer."""
        line = timeline(self.embedding, request)
        gaps = None if self._gap_column is None else line.ids[self._gap_column]
        x, past = line.events @ self.event, []
        for number, layer in enumerate(self._layers(), 1):
            last = number == self.config.layers
            one, x = layer.encode(x, line.mask, gaps, last=last)
            past.append(one)
        fields = self.embedding.fields(request, REQUEST_SIDES).flatten(1)
        return Transduced(trunk=self.trunk.shared(fields), past=tuple(past), mask=line.mask)

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` of ``B`` candidates; ``state`` holds one request or one a candidate."""
        assert isinstance(state, Transduced)
        x = candidate(self.embedding, self.sequence, items) @ self._candidate_weight()
        for layer, past in zip(self._layers(), state.past, strict=True):
            x = layer(past, state.mask, x)
        fields = self.embedding.fields(items, ITEM_SIDES).flatten(1)
        hidden = self.trunk.own(state.trunk, torch.cat([fields, x], 1))
        return {task: tower(hidden) for task, tower in self.tower.items()}

    def _candidate_weight(self) -> Tensor:
        """The rows of the events' projection that belong to columns the candidate has."""
        weight = split_axis(self.event, 0, (len(self.sequence.columns), -1))
        return weight[list(shared_columns(self.spec, self.sequence))].flatten(0, 1)

    def _layers(self) -> list[HSTULayer]:
        return [layer for layer in self.layers if isinstance(layer, HSTULayer)]

    def flops_per_sample(self) -> dict[str, int]:
        """At full lengths, every pair of events counted; all but the candidate's token is the
        request's.
        """
        c = self.config
        layers = enumerate(self._layers(), 1)
        parts = [
            (2 * self.length * self.event.numel(), 2 * self._candidate_weight().numel()),
            *(layer.flops(self.length, last=number == c.layers) for number, layer in layers),
            self.trunk.flops(),
            (0, len(self.tower) * mlp_flops(self.trunk.width, (*c.tower, 1))),
        ]
        return {"request": sum(p[0] for p in parts), "candidate": sum(p[1] for p in parts)}
