"""Rankers that see a row as vectors of one width: its fields and what its sequences say.

Axes: B batch, V vectors of a row, E embedding width, C columns of a sequence. The vectors, in this
order: fields of user and context; with ``interest="mean"`` the mean event of each sequence, column
by column; fields of the item; with ``interest="din"`` the candidate's interest in each sequence
(:mod:`hemix.models.embedding.target_attention`), column by column. Those that no candidate changes come first and
are computed once per request, and so is the events' share of the attention.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.data.batch import Batch
from hemix.models.embedding.target_attention import Encoded, Interests
from hemix.models.layers.dense import MLP, mlp_flops, split_axis
from hemix.models.layers.refinement.named import refinement, refinements_of
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, Ranker, RankerConfig
from hemix.models.rankers.refined import RefinedConfig
from hemix.models.search_space import Choice, Space
from hemix.spec import FeatureSpec, Side


class VectorRankerConfig(RefinedConfig):
    """Shape that rankers over vectors of one width share."""

    search: ClassVar[Space] = {**RankerConfig.search, "interest": Choice(choices=("mean", "din"))}

    interest: Literal["mean", "din"] = "mean"
    """What a history becomes: the mean of its events, or DIN's interest of the candidate."""
    attention: tuple[int, ...] = (32, 16)
    """Hidden widths of DIN's network; used when `interest` is din."""


@dataclass(frozen=True, kw_only=True)
class RequestVectors:
    """What candidates share: ``vectors [B or 1, R, E]`` and, for DIN, each sequence's events."""

    vectors: Tensor
    events: tuple[Encoded, ...]


class VectorRanker(Ranker):
    """Base of such rankers: a subclass defines ``logits``, or all of the request's split.

    Between a row's vectors and what crosses them stands :meth:`inputs`, and there the recipe's
    refinement (:mod:`hemix.models.layers.refinement`). A ranker of several ``branches`` defines
    ``branch_logits`` in place of ``logits``; each branch may then be given vectors of its own. A
    refined vector depends on the candidate, so what a ranker computes of them once per request
    without a refinement it computes for every candidate with one.
    """

    branches: tuple[str, ...] = ("cross",)
    """The parts of the ranker that read a row's vectors."""

    def __init__(self, spec: FeatureSpec, config: VectorRankerConfig) -> None:
        super().__init__(spec, config)
        width, din = config.embedding.width, config.interest == "din"
        self.interests = Interests(spec, spec.sequences if din else (), width, config.attention)
        before, own = self.request_count, self.embedding.field_count(ITEM_SIDES)
        self.refinements = refinements_of(
            config.refine,
            separate=config.refine_separate,
            branches=self.branches,
            make=lambda name: refinement(
                name,
                sum(self.groups),
                width,
                config.refinement,
                user=range(self.embedding.field_count(REQUEST_SIDES)),
                item=range(before, before + own),
            ),
        )

    @property
    def groups(self) -> tuple[int, ...]:
        """How many vectors each part of a row has: a request's fields, an item's, sequences."""
        columns = [len(sequence.columns) for sequence in self.spec.sequences]
        item = self.embedding.field_count(ITEM_SIDES)
        after = [item, *columns] if self.interests else [*columns, item]
        return tuple(n for n in (self.embedding.field_count(REQUEST_SIDES), *after) if n)

    @property
    def vector_widths(self) -> list[int]:
        """How many numbers of each vector a table gives, in the order of :meth:`logits`."""
        config, spec = self.embedding.config, self.spec

        def fields(sides: tuple[Side, ...]) -> list[int]:
            ids = [config.width_of(f.vocabulary) for f in spec.categorical if f.side in sides]
            return ids + [config.width for f in spec.numeric if f.side in sides]

        means = [
            config.width_of(column.vocabulary) for one in spec.sequences for column in one.columns
        ]
        if self.interests:
            found = [config.width_of(name) for name in self.interests.vocabularies]
            return [*fields(REQUEST_SIDES), *fields(ITEM_SIDES), *found]
        return [*fields(REQUEST_SIDES), *means, *fields(ITEM_SIDES)]

    @property
    def request_count(self) -> int:
        """R: how many of the vectors no candidate changes."""
        means = 0 if self.interests else sum(len(s.columns) for s in self.spec.sequences)
        return self.embedding.field_count(REQUEST_SIDES) + means

    @property
    def vector_names(self) -> tuple[str, ...]:
        """The vectors in the order of :meth:`logits`."""
        request, item = map(self.embedding.field_names, (REQUEST_SIDES, ITEM_SIDES))
        if self.interests:
            return (*request, *item, *self.interests.names)
        return (*request, *self.mean_names, *item)

    def request_vectors(self, request: Batch) -> RequestVectors:
        """The share of the request's side, for every row of ``request``."""
        parts = [self.embedding.fields(request, REQUEST_SIDES)]
        if not self.interests:
            parts += [self.embedding.mean(request, sequence) for sequence in self.spec.sequences]
        events = self.interests.events(self.embedding, request)
        return RequestVectors(vectors=torch.cat(parts, 1), events=events)

    def candidate_vectors(self, state: RequestVectors, items: Batch) -> Tensor:
        """The vectors ``[B, V - R, E]`` that each of ``B`` candidates has for itself."""
        parts = [self.embedding.fields(items, ITEM_SIDES)]
        for interest in self.interests.of(self.embedding, state.events, items):
            parts.append(split_axis(interest, -1, (-1, self.embedding.config.width)))
        return torch.cat(parts, 1)

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` per task."""
        return self.score_candidates(self.encode_request(batch), batch)

    def encode_request(self, request: Batch) -> object:
        """Everything that no candidate changes, for every row of ``request``."""
        return self.request_vectors(request)

    def score_candidates(self, state: object, items: Batch) -> dict[str, Tensor]:
        """Logits ``[B]`` of ``B`` candidates; ``state`` holds one request or one a candidate."""
        assert isinstance(state, RequestVectors)
        return self.branch_logits(self.inputs(self.row_vectors(state, items)))

    def row_vectors(self, state: RequestVectors, items: Batch) -> Tensor:
        """All vectors ``[B, V, E]`` of ``B`` candidates."""
        shared = state.vectors.expand(items.size, -1, -1)
        return torch.cat([shared, self.candidate_vectors(state, items)], 1)

    def inputs(self, x_BVE: Tensor) -> dict[str, Tensor]:
        """What each branch reads of a row's vectors ``[B, V, E]``: refined ones, or all the same."""
        return self.refinements.refined(x_BVE, self.branches)

    def branch_logits(self, x: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Logits ``[B]`` per task from the vectors of each branch."""
        (x_BVE,) = x.values()
        return self.logits(x_BVE)

    def logits(self, x_BVE: Tensor) -> dict[str, Tensor]:
        """Logits ``[B]`` per task from a row's vectors."""
        raise NotImplementedError

    def input_flops(self) -> tuple[int, int]:
        """Of the attention over the sequences and the refinement: a request's share, a candidate's."""
        request, candidate = self.interests.flops()
        return request, candidate + self.refinements.flops()


class SharedMLP(MLP):
    """An :class:`MLP` over ``[shared ; own]`` whose product with ``shared`` is computed once.

    Example:
        >>> mlp = SharedMLP(2, 3, (4,))
        >>> mlp.own(mlp.shared(torch.zeros(1, 2)), torch.zeros(5, 3)).shape
        torch.Size([5, 4])
    """

    def __init__(self, shared: int, own: int, widths: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__(shared + own, widths, dropout)
        self.inputs, self.widths = (shared, own), tuple(widths)

    def shared(self, x_BS: Tensor) -> Tensor:
        """The request's share from ``[B or 1, S]``."""
        return fn.linear(x_BS, self._first.weight[:, : self.inputs[0]], self._first.bias)

    def own(self, product: Tensor, x_BD: Tensor) -> Tensor:
        """That share and what each row has for itself, ``[B, D]`` -> ``[B, widths[-1]]``."""
        y = product + fn.linear(x_BD, self._first.weight[:, self.inputs[0] :])
        for layer in list(self.net)[1:]:
            y = layer(y)
        return y

    @property
    def _first(self) -> nn.Linear:
        first = self.net[0]
        assert isinstance(first, nn.Linear)
        return first

    def flops(self) -> tuple[int, int]:
        """A request's share and a row's."""
        shared, own = self.inputs
        return 2 * shared * self.widths[0], mlp_flops(own, self.widths)
