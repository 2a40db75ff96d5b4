"""DIN: each candidate weighs the user's events by its own relevance.

Paper: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018,
arXiv 1706.06978. Interest (eq. 3): ``v = sum_j a(e_j, t) e_j`` with an MLP ``a`` over
``[e_j, t, e_j - t, e_j * t]`` whose outputs are not normalised.

Axes: B batch, L events, W width of the columns that event and candidate share (item, author, ...),
V width of all columns of an event. Columns without a counterpart on the candidate (action, gap) are
given to ``a`` and to the sum, but are not compared. Dice is replaced by ReLU: the normalised
statistics of Dice would tie a row's score to the other rows of its batch.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from hemix.spec import FeatureSpec, SequenceFeature
from models.batch import SIDES, Batch
from models.layers import MLP, Tower, mlp_flops, split_axis
from models.ranker import Ranker, RankerConfig
from models.search import Choice, Space


class DINConfig(RankerConfig):
    """``attention``: hidden widths of ``a``."""

    search: ClassVar[Space] = {
        **RankerConfig.search,
        "attention": Choice(choices=([16, 8], [32, 16], [64, 32])),
    }

    attention: tuple[int, ...] = (32, 16)


class InterestAttention(nn.Module):
    """``sum_j a(...) value_j`` over the events of a row.

    ``event [B, L, W]``, ``extra [B, L, V - W]``, ``target [B, W]``, ``mask [B, L]`` -> ``[B, V]``.
    """

    def __init__(self, shared: int, extra: int, hidden: tuple[int, ...]) -> None:
        super().__init__()
        self.score = Tower(4 * shared + extra, hidden)

    def forward(self, event: Tensor, extra: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        t = target[:, None].expand_as(event)
        weight_BL = self.score(torch.cat([event, t, event - t, event * t, extra], -1))
        value_BLV = torch.cat([event, extra], -1)
        return torch.einsum("bl,blv->bv", weight_BL * mask, value_BLV)


class DIN(Ranker):
    """The ranker of the module's text: fields and one interest a sequence, then a tower a task.

    Example:
        >>> from models.toy import toy_batch, toy_spec
        >>> DIN(toy_spec(), DINConfig(tower=(8,)))(toy_batch(rows=3))["click"].shape
        torch.Size([3])
    """

    name = "din"
    config_type = DINConfig

    def __init__(self, spec: FeatureSpec, config: DINConfig) -> None:
        super().__init__(spec, config)
        self.config = config
        self.target = {
            field.vocabulary: field.name for field in spec.categorical if field.side == "item"
        }
        width = config.embedding.width
        self.attention = nn.ModuleList()
        total = self.width_of(SIDES)
        for sequence in spec.sequences:
            shared = len(self._shared(sequence)) * width
            extra = len(sequence.columns) * width - shared
            self.attention.append(InterestAttention(shared, extra, config.attention))
            total += shared + extra
        self.trunk = MLP(total, config.tower[:1], config.dropout)
        rest = config.model_copy(update={"tower": config.tower[1:]})
        self.tower = self.towers(self.trunk.width, rest)

    def _shared(self, sequence: SequenceFeature) -> list[int]:
        return [i for i, c in enumerate(sequence.columns) if c.vocabulary in self.target]

    def interest(self, batch: Batch, index: int) -> Tensor:
        """The interest ``[B, V]`` that sequence ``index`` shows in each row's candidate."""
        sequence = self.spec.sequences[index]
        shared = self._shared(sequence)
        events, mask = self.embedding.sequence(batch, sequence)
        events_BLCE = split_axis(events, -1, (len(sequence.columns), -1))
        others = [i for i in range(len(sequence.columns)) if i not in shared]
        names = [sequence.columns[i].vocabulary for i in shared]
        target = [self.embedding.lookup(name, batch.ids[self.target[name]]) for name in names]
        attention: nn.Module = self.attention[index]
        result: Tensor = attention(
            events_BLCE[:, :, shared].flatten(2),
            events_BLCE[:, :, others].flatten(2),
            torch.cat(target, -1),
            mask,
        )
        return result

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` a task."""
        parts = [self.embedding.fields(batch).flatten(1)]
        parts += [self.interest(batch, index) for index in range(len(self.spec.sequences))]
        hidden = self.trunk(torch.cat(parts, 1))
        return {task: tower(hidden) for task, tower in self.tower.items()}

    def flops_per_sample(self) -> dict[str, int]:
        """All work is a candidate's: attention at full lengths, trunk, towers."""
        width, flops = self.config.embedding.width, 0
        for sequence in self.spec.sequences:
            columns = len(sequence.columns)
            inputs = (columns + 3 * len(self._shared(sequence))) * width
            one = mlp_flops(inputs, (*self.config.attention, 1)) + 2 * columns * width
            flops += sequence.max_length * one
        first = self.trunk.net[0]
        assert isinstance(first, nn.Linear)
        flops += mlp_flops(first.in_features, self.config.tower[:1])
        flops += len(self.tower) * mlp_flops(self.trunk.width, (*self.config.tower[1:], 1))
        return {"request": 0, "candidate": flops}
