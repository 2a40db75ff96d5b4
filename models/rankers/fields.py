"""Rankers that cross a row's fields: a first-order term beside branches that read their vectors.

    logit_t = w_t0 + sum_f w_t[x_f]  +  what the branches make of the vectors

The first-order term (logistic regression on the ids themselves) has a weight a task for every id,
and for a number a weight of its bucket and one times its value; all begin at 0 (the released
implementations leave them at deviation 1, which is noise of the size of the logit). It never reads
the vectors, so nothing that refines those reaches it.

Axes: B batch, V vectors of a row, E embedding width, T tasks. INFERRED: events have no first-order
weights; a history reaches these rankers through its vectors alone. The weights' unknown ids in
training (``embedding.id_dropout``) are drawn apart from those of the vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from hemix.models.data.batch import Batch
from hemix.models.embedding.tables import FeatureEmbedding
from hemix.models.embedding.widths import live_columns
from hemix.models.layers.dense import Norm
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, RankerConfig
from hemix.models.rankers.refined import RefinedConfig
from hemix.models.rankers.vector import RequestVectors, VectorRanker, VectorRankerConfig
from hemix.spec import FeatureSpec


class FieldRankerConfig(VectorRankerConfig):
    """Shape that rankers over crossed fields share."""

    interest: Literal["mean", "din"] = "din"
    """What a history becomes: the mean of its events, or DIN's interest of the candidate."""
    tower: tuple[int, ...] = ()
    """Hidden widths of each task's own MLP; empty for one linear unit, as in the paper."""


class FirstOrderConfig(FieldRankerConfig):
    """Shape of those whose paper has a first-order term."""

    first_order: bool = True
    """Whether every id and number also has a weight of its own in the logit."""


class DeepConfig(RankerConfig):
    """Shape of those that have a deep network."""

    deep_norm: Norm = "none"
    """What stands behind each linear layer of the deep network; the released code of this line of
    work has batch norm. Its statistics are those of one process's part of a batch, so batch goes
    with one process, accumulate 1 and no moving average of the weights."""


@dataclass(frozen=True, kw_only=True)
class RequestFields:
    """What candidates share: vectors, and the first-order sum ``[B or 1, T]`` if there is one."""

    vectors: RequestVectors
    first: Tensor | None


class FieldRanker(VectorRanker):
    """Base of such rankers: a subclass defines ``branch_logits`` (or ``logits`` of one branch)."""

    side_by_side: ClassVar[bool] = False
    """Whether the ranker reads its vectors through :meth:`flat` alone."""
    live: Tensor

    def __init__(self, spec: FeatureSpec, config: FieldRankerConfig) -> None:
        super().__init__(spec, config)
        self.shape = config
        live = live_columns(self.vector_widths, config.embedding.width)
        self.register_buffer("live", live, persistent=False)
        self.first_order: FeatureEmbedding | None = None
        if isinstance(config, FirstOrderConfig) and config.first_order:
            weights: dict[str, object] = dict.fromkeys(("std", "direction_std", "dropout"), 0.0)
            weights |= {"width": len(spec.tasks), "widths": {}}
            self.first_order = FeatureEmbedding(
                spec.model_copy(update={"sequences": ()}),
                config.embedding.model_copy(update=weights),
            )
            self.first_bias = nn.Parameter(torch.zeros(len(spec.tasks)))

    @property
    def embeddings(self) -> dict[str, FeatureEmbedding]:
        """Every set of tables by the name of its attribute."""
        first = {} if self.first_order is None else {"first_order": self.first_order}
        return super().embeddings | first

    def encode_request(self, request: Batch) -> RequestFields:
        """The vectors and the first-order sum that no candidate changes, for every row."""
        first = None
        if self.first_order is not None:
            first = self.first_order.fields(request, REQUEST_SIDES).sum(1) + self.first_bias
        return RequestFields(vectors=self.request_vectors(request), first=first)

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` of ``B`` candidates; ``state`` holds one request or one a candidate."""
        assert isinstance(state, RequestFields)
        logits = self.branch_logits(self.inputs(self.row_vectors(state.vectors, items)))
        if self.first_order is None or state.first is None:
            return logits
        first_BT = state.first + self.first_order.fields(items, ITEM_SIDES).sum(1)
        return {
            task: logit + first_BT[:, index] for index, (task, logit) in enumerate(logits.items())
        }

    @classmethod
    def keeps_narrow(cls, config: RankerConfig) -> bool:
        """Where vectors only stand side by side, unless a refinement needs them of one width."""
        return cls.side_by_side and isinstance(config, RefinedConfig) and config.refine == "none"

    @property
    def _cut(self) -> bool:
        """Whether narrow vectors have zeros behind them, which :meth:`flat` leaves out."""
        return self.keeps_narrow(self.shape) and bool(self.embedding.config.widths)

    @property
    def flat_width(self) -> int:
        """D: the width of all vectors of a row side by side."""
        if self._cut:
            return sum(self.vector_widths)
        return sum(self.groups) * self.embedding.config.width

    def flat(self, x_BVE: Tensor) -> Tensor:
        """All vectors of a row side by side ``[B, D]``; narrow ones without what fills them up."""
        return x_BVE.flatten(1)[:, self.live] if self._cut else x_BVE.flatten(1)

    def input_flops(self) -> tuple[int, int]:
        """Of the attention over the sequences and the first-order sums."""
        request, candidate = super().input_flops()
        if self.first_order is not None:
            tasks = len(self.spec.tasks)
            request += tasks * self.first_order.field_count(REQUEST_SIDES)
            candidate += tasks * self.first_order.field_count(ITEM_SIDES)
        return request, candidate

    def bytes_per_sample(self) -> dict[str, int]:
        """With the first-order weights' rows, the ids being read once for both."""
        both = super().bytes_per_sample()
        if self.first_order is not None:
            row = 4 * len(self.spec.tasks)
            both["request"] += row * self.first_order.field_count(REQUEST_SIDES)
            both["candidate"] += row * self.first_order.field_count(ITEM_SIDES)
        return both
