"""SIM with soft search: find the events that matter for a candidate, then attend to those alone.

Paper: Pi et al., "Search-based User Interest Modeling with Lifelong Sequential Behavior Data",
CIKM 2020, arXiv 2006.05639.

Axes: B rows · L events of the global sequence · k events found · H heads · S embedding width of an
event e_j (item, its side columns, action, time gap) · T of the candidate's same columns t.

    search (GSU, eq. 1-2)  r_j = (W_b e_j) . (W_a t) ;  U = sum_j r_j e_j ;  the k largest r_j
    read   (ESU, eq. 3-5)  head_i = softmax_j(W_bi e_j . W_ai t / sqrt(d)) e_j over those k
    out                    concat(fields, U, heads of global, heads of real-time) -> MLP -> towers

The time gap of an event, which the paper joins to its embedding, is one of the columns of e_j.

Simplified: the paper trains the search by a loss of its own on U; a ranker here returns one logit a
task, so U goes beside the heads into the shared network and W_a, W_b learn through it. The paper
reads the short sequence with DIEN; here it is read as the found events are, by weights of its own.
INFERRED: e_j of the search holds all columns, the scale ``1 / sqrt(d)``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from hemix.models.data.batch import Batch
from hemix.models.embedding.event_timeline import candidate, shared_columns
from hemix.models.layers.causal import product
from hemix.models.layers.dense import mlp_flops, xavier_slices_
from hemix.models.layers.event_search import Read, TargetAttention
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, Ranker, RankerConfig
from hemix.models.rankers.vector import SharedMLP
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class SIMConfig(RankerConfig):
    """Shape of a SIM."""

    search: ClassVar[Space] = {
        **RankerConfig.search,
        "top": Choice(choices=(24, 48, 96)),
        "heads": Range(low=1, high=4),
        "trunk": Choice(choices=([128], [580], [512, 192])),
    }

    top: int = Field(default=48, ge=1)
    """k: events of the global sequence that the search keeps."""
    search_width: int = Field(default=16, ge=1)
    """Width of the projections by which the search compares candidate and events."""
    heads: int = Field(default=2, ge=1)
    """Heads of the attention over the events found."""
    head_width: int = Field(default=16, ge=1)
    """Width of one head."""
    trunk: tuple[int, ...] = Field(default=(580,), min_length=1)
    """Hidden widths of the MLP that the tasks share."""
    tower: tuple[int, ...] = (64,)
    """Hidden widths of each task's own MLP behind the trunk."""


@dataclass(frozen=True, kw_only=True)
class Searched:
    """A request's share: the trunk's, ``W_b e_j [b, L, .]``, both sequences as they are read."""

    trunk: Tensor
    keys: Tensor
    found: Read
    realtime: Read


class SIM(Ranker):
    """SIM (Pi et al., CIKM 2020); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> SIM(toy_spec(), SIMConfig(top=3))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "sim"
    config_type = SIMConfig

    def __init__(self, spec: FeatureSpec, config: SIMConfig) -> None:
        super().__init__(spec, config)
        assert len(spec.sequences) == 2, "SIM reads two sequences: global, then real-time"
        self.config = config
        width = config.embedding.width
        event = len(spec.sequences[0].columns) * width
        target = len(shared_columns(spec, spec.sequences[0])) * width
        self.search_event = nn.Parameter(xavier_slices_(torch.empty(event, config.search_width)))
        self.search_target = nn.Parameter(xavier_slices_(torch.empty(target, config.search_width)))
        shape = event, target, config.heads, config.head_width
        self.found = TargetAttention(*shape, project=False)
        self.realtime = TargetAttention(*shape, project=False)
        rest = self.width_of(ITEM_SIDES) + event + self.found.width + self.realtime.width
        self.trunk = SharedMLP(self.width_of(REQUEST_SIDES), rest, config.trunk, config.dropout)
        self.tower = self.towers(self.trunk.width, config)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        return self.score_candidates(self.encode_request(batch), batch)

    def encode_request(self, request: Batch) -> Searched:
        """Events, their search keys and their attention keys."""
        older, newer = (
            self.embedding.sequence(request, sequence) for sequence in self.spec.sequences
        )
        return Searched(
            trunk=self.trunk.shared(self.embedding.fields(request, REQUEST_SIDES).flatten(1)),
            keys=older[0] @ self.search_event,
            found=self.found.encode(*older),
            realtime=self.realtime.encode(*newer),
        )

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` of ``B`` candidates; ``state`` holds one request or one a candidate."""
        assert isinstance(state, Searched)
        target = candidate(self.embedding, self.spec.sequences[0], items)
        score_BL = self.relevance(state, target)
        broad = product((score_BL * state.found.mask)[:, None, None], state.found.values[:, None])
        parts = [
            self.embedding.fields(items, ITEM_SIDES).flatten(1),
            broad.flatten(1),
            self.found(target, self.search(state.found, score_BL)),
            self.realtime(target, state.realtime),
        ]
        hidden = self.trunk.own(state.trunk, torch.cat(parts, 1))
        return {task: tower(hidden) for task, tower in self.tower.items()}

    def relevance(self, state: Searched, target: Tensor) -> Tensor:
        """r ``[B, L]`` of every global event for ``target [B, T]``."""
        query = (target @ self.search_target)[:, None, None]
        return product(query, state.keys[:, None].transpose(-1, -2)).flatten(1)

    def search(self, found: Read, score_BL: Tensor) -> Read:
        """The k events of the highest score, all of them when there are no more than k."""
        if score_BL.shape[1] <= self.config.top:
            return found
        score_BL = score_BL.masked_fill(~found.mask, torch.finfo(score_BL.dtype).min)
        return found.pick(score_BL.topk(self.config.top, sorted=False).indices)

    def flops_per_sample(self) -> dict[str, int]:
        """At full lengths: search keys and attention keys are the request's."""
        c, s = self.config, self.config.search_width
        older, newer = (sequence.max_length for sequence in self.spec.sequences)
        event, target = len(self.search_event), len(self.search_target)
        parts = [
            self.trunk.flops(),
            (2 * older * event * s, 2 * target * s + 2 * older * (s + event)),
            self.found.flops(older, min(c.top, older)),
            self.realtime.flops(newer, newer),
            (0, len(self.tower) * mlp_flops(self.trunk.width, (*c.tower, 1))),
        ]
        return {"request": sum(p[0] for p in parts), "candidate": sum(p[1] for p in parts)}
