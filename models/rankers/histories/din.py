"""DIN: each candidate weighs the user's events by its own relevance.

Paper: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018,
arXiv 1706.06978; its attention is :mod:`hemix.models.embedding.target_attention`, which other rankers use too.
Fields and one interest a sequence go side by side through one hidden layer, then a tower a task.

Axes: B batch. Dice is replaced by ReLU: the normalised statistics of Dice would tie a row's score
to the other rows of its batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor, nn

from hemix.models.data.batch import SIDES, Batch
from hemix.models.embedding.target_attention import Encoded, Interests
from hemix.models.layers.dense import MLP, mlp_flops
from hemix.models.rankers.base import Ranker, RankerConfig
from hemix.models.search_space import Choice, Space
from hemix.spec import FeatureSpec


class DINConfig(RankerConfig):
    """Shape of a DIN."""

    search: ClassVar[Space] = {
        **RankerConfig.search,
        "attention": Choice(choices=([16, 8], [32, 16], [64, 32])),
    }

    attention: tuple[int, ...] = (32, 16)
    """Hidden widths of the network `a` that weighs an event for the candidate."""


@dataclass(frozen=True, kw_only=True)
class DINRequest:
    """What candidates share: the columns of the request, and the events of each sequence."""

    columns: Batch
    events: tuple[Encoded, ...]


class DIN(Ranker):
    """DIN (Zhou et al., KDD 2018); the module's text has the formula.

    Example:
        >>> from hemix.models.data.toy import toy_batch, toy_spec
        >>> DIN(toy_spec(), DINConfig(tower=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "din"
    config_type = DINConfig

    def __init__(self, spec: FeatureSpec, config: DINConfig) -> None:
        super().__init__(spec, config)
        self.config = config
        width = config.embedding.width
        self.attention = Interests(spec, spec.sequences, width, config.attention)
        total = self.width_of(SIDES) + self.attention.width
        self.trunk = MLP(total, config.tower[:1], config.dropout)
        rest = config.model_copy(update={"tower": config.tower[1:]})
        self.tower = self.towers(self.trunk.width, rest)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        return self.score_candidates(self.encode_request(batch), batch)

    def encode_request(self, request: Batch) -> DINRequest:
        """The events' share of the attention, for every row of ``request``."""
        events = self.attention.events(self.embedding, request)
        return DINRequest(columns=replace(request, lists={}), events=events)

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` of ``B`` candidates; ``state`` holds one request or one a candidate."""
        assert isinstance(state, DINRequest)
        columns = state.columns
        if columns.size != items.size:
            device = next(self.parameters()).device
            columns = columns.take(torch.zeros(items.size, dtype=torch.int64, device=device))
        parts = [self.embedding.fields(columns.beside(items)).flatten(1)]
        parts += self.attention.of(self.embedding, state.events, items)
        hidden = self.trunk(torch.cat(parts, 1))
        return {task: tower(hidden) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """The events' share of the attention, at full lengths, is the request's."""
        request, flops = self.attention.flops()
        first = self.trunk.net[0]
        assert isinstance(first, nn.Linear)
        flops += mlp_flops(first.in_features, self.config.tower[:1])
        flops += len(self.tower) * mlp_flops(self.trunk.width, (*self.config.tower[1:], 1))
        return {"request": request, "candidate": flops}
