"""ETA: the events whose hashes are nearest to the candidate's, then target attention over them.

Paper: Chen et al., "End-to-End User Behavior Retrieval in Click-Through Rate Prediction Model",
2021, arXiv 2108.04468.

Axes: B rows · L events of the global sequence · m bits · k events found · H heads, d = D/H · S
embedding width of an event · T of the columns that event and candidate share (item, author, ...).

    hash   h(x) = sign(x R), R [T, m] random and fixed: SimHash, the same for events and candidate
    search the k events of the smallest Hamming distance between h(e_j) and h(t)
    read   concat_i softmax_j(t WQ_i . e_j WK_i / sqrt(d)) e_j WV_i, times WO, over those k
    out    concat(fields, read of global, read of real-time) -> MLP -> towers

The tables are learnt by the attention alone and the hashes follow them: no search index falls
behind the model. R is a buffer of the weights, so a loaded model searches as the trained one did.

Events at the same distance (the distance has m + 1 values): the later one is taken, INFERRED.
Bits are kept as +-1 and the distance comes from their product, ``(m - h h') / 2``, exactly; torch
has no population count. At the small widths of public logs that saves nothing over SIM's search: what
is kept is ETA's quality, not its speed on wide embeddings.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.embedding.event_timeline import candidate, comparable, shared_columns
from hemix.models.layers.causal import product
from hemix.models.layers.dense import mlp_flops
from hemix.models.layers.event_search import Read, TargetAttention
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, Ranker, RankerConfig
from hemix.models.rankers.vector import SharedMLP
from hemix.models.search_space import Choice, Range, Space
from hemix.spec import FeatureSpec


class ETAConfig(RankerConfig):
    """Shape of an ETA."""

    search: ClassVar[Space] = {
        **RankerConfig.search,
        "top": Choice(choices=(24, 48, 96)),
        "bits": Choice(choices=(16, 32, 64)),
        "heads": Range(low=1, high=4),
        "trunk": Choice(choices=([128], [680], [512, 320])),
    }

    top: int = Field(default=48, ge=1)
    """k: events of the global sequence that the search keeps (the paper: 48 of 1,024)."""
    bits: int = Field(default=32, ge=1, le=256)
    """m: bits of a hash."""
    heads: int = Field(default=2, ge=1)
    """Heads of the attention over the events found."""
    head_width: int = Field(default=16, ge=1)
    """Width of one head."""
    trunk: tuple[int, ...] = Field(default=(680,), min_length=1)
    """Hidden widths of the MLP that the tasks share."""
    tower: tuple[int, ...] = (64,)
    """Hidden widths of each task's own MLP behind the trunk."""


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """A request's share: the trunk's, ``h(e_j) [b, L, m]``, both sequences as they are read."""

    trunk: Tensor
    hashes: Tensor
    found: Read
    realtime: Read


class ETA(Ranker):
    """ETA (Chen et al., 2021); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> ETA(toy_spec(), ETAConfig(top=3))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "eta"
    config_type = ETAConfig
    planes: Tensor

    def __init__(self, spec: FeatureSpec, config: ETAConfig) -> None:
        super().__init__(spec, config)
        assert len(spec.sequences) == 2, "ETA reads two sequences: global, then real-time"
        self.config = config
        width = config.embedding.width
        event = len(spec.sequences[0].columns) * width
        target = len(shared_columns(spec, spec.sequences[0])) * width
        self.register_buffer("planes", torch.randn(target, config.bits))
        shape = event, target, config.heads, config.head_width
        self.found = TargetAttention(*shape, project=True)
        self.realtime = TargetAttention(*shape, project=True)
        rest = self.width_of(ITEM_SIDES) + self.found.width + self.realtime.width
        self.trunk = SharedMLP(self.width_of(REQUEST_SIDES), rest, config.trunk, config.dropout)
        self.tower = self.towers(self.trunk.width, config)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        return self.score_candidates(self.encode_request(batch), batch)

    def encode_request(self, request: Batch) -> Hashed:
        """Events, their hashes and their attention keys and values."""
        older, newer = (
            self.embedding.sequence(request, sequence) for sequence in self.spec.sequences
        )
        return Hashed(
            trunk=self.trunk.shared(self.embedding.fields(request, REQUEST_SIDES).flatten(1)),
            hashes=self.signs(comparable(self.spec, self.spec.sequences[0], older[0])),
            found=self.found.encode(*older),
            realtime=self.realtime.encode(*newer),
        )

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` of ``B`` candidates; ``state`` holds one request or one a candidate."""
        assert isinstance(state, Hashed)
        target = candidate(self.embedding, self.spec.sequences[0], items)
        parts = [
            self.embedding.fields(items, ITEM_SIDES).flatten(1),
            self.found(target, self.search(state, target)),
            self.realtime(target, state.realtime),
        ]
        hidden = self.trunk.own(state.trunk, torch.cat(parts, 1))
        return {task: tower(hidden) for task, tower in self.tower.items()}

    def signs(self, x: Tensor) -> Tensor:
        """SimHash of ``x [..., T]``: +-1 ``[..., m]``."""
        bits = x.detach() @ self.planes >= 0
        return bits.to(self.planes.dtype) * 2 - 1

    def distance(self, state: Hashed, target: Tensor) -> Tensor:
        """Hamming distance int32 ``[B, L]`` of every global event to ``target [B, T]``."""
        query = self.signs(target)[:, None, None]
        agree = product(query, state.hashes[:, None].transpose(-1, -2)).flatten(1)
        return (self.config.bits - agree.to(torch.int32)) // 2

    def search(self, state: Hashed, target: Tensor) -> Read:
        """The k nearest events, all of them when there are no more than k."""
        length = state.hashes.shape[1]
        if length <= self.config.top:
            return state.found
        near = self.config.bits - self.distance(state, target)
        order = near * length + torch.arange(length, device=near.device, dtype=near.dtype)
        order = order.masked_fill(~state.found.mask, -1)
        return state.found.pick(order.topk(self.config.top, sorted=False).indices)

    def flops_per_sample(self) -> dict[str, int]:
        """At full lengths; a bit's product counts as any other."""
        c = self.config
        older, newer = (sequence.max_length for sequence in self.spec.sequences)
        target = len(self.planes)
        parts = [
            self.trunk.flops(),
            (2 * older * target * c.bits, 2 * target * c.bits + 2 * older * c.bits),
            self.found.flops(older, min(c.top, older)),
            self.realtime.flops(newer, newer),
            (0, len(self.tower) * mlp_flops(self.trunk.width, (*c.tower, 1))),
        ]
        return {"request": sum(p[0] for p in parts), "candidate": sum(p[1] for p in parts)}
