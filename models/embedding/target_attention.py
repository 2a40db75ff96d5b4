"""DIN's attention: each candidate weighs the user's events by its own relevance.

Paper: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018,
arXiv 1706.06978. Interest (eq. 3): ``v = sum_j a(e_j, t) e_j`` with an MLP ``a`` over
``[e_j, t, e_j - t, e_j * t]`` whose outputs are not normalised.

Axes: B rows, T events of all rows, L of a single one, W width of the columns that event and candidate
share (item, author, ...), V width of all columns of an event, K the first hidden width of ``a``.
Columns without a counterpart on the candidate (action, gap) are given to ``a`` and to the sum, but
are not compared.

The first layer of ``a`` is linear in its parts, so what belongs to the events is computed once a
request and what belongs to the candidate once per candidate:
``W [e, t, e - t, e * t, x] = (W_e + W_d) e + W_x x + (W_t - W_d) t + W_p (e * t)``.

Rows are not padded: every event meets the candidate of its own row, and a row's sum is over its
stretch of the events. Where many candidates read the events of one row (a request), each meets all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.data.batch import Batch
from hemix.models.embedding.tables import FeatureEmbedding
from hemix.models.layers.attention.events import Events
from hemix.models.layers.dense import Tower, mlp_flops
from hemix.spec import FeatureSpec, SequenceFeature

ROOM = 2**19
"""Numbers of a hidden layer that a request's candidates have at a time: they stay in the cache."""


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """The events' share of the attention, of one request or of every row.

    ``events``: their values ``[T, V]``, row after row, the W shared ones first; ``hidden [T, K]``:
    their part of the first layer.
    """

    events: Events
    hidden: Tensor


class InterestAttention(nn.Module):
    """``sum_j a(...) value_j`` over the events of a row: ``[B, V]``, 0 when there is none.

    Example:
        >>> attention = InterestAttention(shared=4, extra=2, hidden=(8,))
        >>> events = Events(values=torch.zeros(5, 6), offsets=torch.tensor([0, 5]))
        >>> attention.read(attention.encode(events), torch.zeros(3, 4)).shape
        torch.Size([3, 6])
    """

    def __init__(self, shared: int, extra: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.sizes = [shared, shared, shared, shared, extra]
        self.hidden = tuple(hidden)
        self.score = Tower(4 * shared + extra, hidden)

    def encode(self, events: Events) -> Encoded:
        """What no candidate changes; one row (a request) serves any number of candidates."""
        e, _, d, _, x = torch.split(self._first.weight, self.sizes, 1)
        hidden = fn.linear(events.values, torch.cat([e + d, x], 1))
        return Encoded(events=events, hidden=hidden)

    def read(self, encoded: Encoded, target_BW: Tensor) -> Tensor:
        """The interest ``[B, V]`` that each row has in its target, or one row in every target."""
        if encoded.events.rows > 1:
            return self._own(encoded, target_BW)
        one = len(encoded.hidden) * max(self.hidden, default=1)
        most = max(1, ROOM // max(1, one))
        return torch.cat([self._all(encoded, some) for some in torch.split(target_BW, most)])

    def _own(self, encoded: Encoded, target_BW: Tensor) -> Tensor:
        """Every event meets the target of its row."""
        events, whose = encoded.events, encoded.events.whose()
        _, t, d, p, _ = torch.split(self._first.weight, self.sizes, 1)
        target_BK = fn.linear(target_BW, t - d, self._first.bias)
        product_TW = events.values[:, : self.sizes[0]] * target_BW.index_select(0, whose)
        hidden = encoded.hidden + target_BK.index_select(0, whose)
        weight_T1 = self._weight(torch.addmm(hidden, product_TW, p.T))
        return events.sums(weight_T1 * events.values)

    def _all(self, encoded: Encoded, target_BW: Tensor) -> Tensor:
        """Every event of a single row meets every target."""
        value_LV = encoded.events.values
        _, t, d, p, _ = torch.split(self._first.weight, self.sizes, 1)
        target_BK = fn.linear(target_BW, t - d, self._first.bias)
        # W_p (e * t) = (W_p * t) e: one product for all targets, without any e * t.
        map_CW = (target_BW[:, None] * p).flatten(0, 1)
        product = torch.addmm(target_BK.flatten(), value_LV[:, : self.sizes[0]], map_CW.T)
        product_LBK = product.view(len(value_LV), *target_BK.shape)
        weight_LB = self._weight(encoded.hidden[:, None] + product_LBK).squeeze(-1)
        return weight_LB.T @ value_LV

    def _weight(self, hidden: Tensor) -> Tensor:
        """``a [..., 1]`` from its first layer ``[..., K]``."""
        for layer in [*self.score.mlp.net, self.score.out][1:]:
            hidden = layer(hidden)
        return hidden

    @property
    def _first(self) -> nn.Linear:
        first = [*self.score.mlp.net, self.score.out][0]
        assert isinstance(first, nn.Linear)
        return first

    def flops(self, length: int) -> tuple[int, int]:
        """A request's share and a candidate's at ``length`` events."""
        shared, extra = self.sizes[0], self.sizes[-1]
        first, *rest = (*self.hidden, 1)
        one = 2 * shared * first + mlp_flops(first, rest) + 2 * (shared + extra)
        return 2 * length * (shared + extra) * first, 2 * shared * first + length * one


class SequenceInterest(InterestAttention):
    """The interest that one sequence of ``spec`` shows in a candidate, ``[B, V]``.

    The columns that the candidate has too (the same vocabulary) come first, then the others.
    """

    def __init__(
        self, spec: FeatureSpec, sequence: SequenceFeature, width: int, hidden: Sequence[int]
    ) -> None:
        fields = {f.vocabulary: f.name for f in spec.categorical if f.side == "item"}
        names = [column.vocabulary for column in sequence.columns]
        shared = [i for i, name in enumerate(names) if name in fields]
        super().__init__(len(shared) * width, (len(names) - len(shared)) * width, hidden)
        self.sequence = sequence
        self.columns = [*shared, *(i for i in range(len(names)) if i not in shared)]
        self.target = [(names[i], fields[names[i]]) for i in shared]

    def events(self, embedding: FeatureEmbedding, request: Batch) -> Encoded:
        """The request's share, embeddings looked up once."""
        values, offsets = embedding.events(request, self.sequence)
        if self.columns != sorted(self.columns):
            parts = values.chunk(len(self.columns), 1)
            values = torch.cat([parts[i] for i in self.columns], 1)
        return self.encode(Events(values=values, offsets=offsets))

    def of(self, embedding: FeatureEmbedding, encoded: Encoded, items: Batch) -> Tensor:
        """The interest ``[B, V]`` in the candidates ``items``."""
        parts = [embedding.lookup(name, items.ids[field]) for name, field in self.target]
        empty = encoded.hidden.new_zeros(items.size, 0)
        return self.read(encoded, torch.cat([empty, *parts], -1))


class Interests(nn.ModuleList):
    """The interests that several ``sequences`` show in a candidate, one after the other; or none.

    Example:
        >>> from hemix.models.data.toy import toy_spec
        >>> Interests(toy_spec(), toy_spec().sequences, 4, (8,)).width
        24
    """

    def __init__(
        self,
        spec: FeatureSpec,
        sequences: Sequence[SequenceFeature],
        width: int,
        hidden: Sequence[int],
    ) -> None:
        super().__init__(SequenceInterest(spec, one, width, hidden) for one in sequences)
        self.width = width * sum(len(one.columns) for one in sequences)

    def events(self, embedding: FeatureEmbedding, request: Batch) -> tuple[Encoded, ...]:
        """The request's share of each."""
        return tuple(one.events(embedding, request) for one in self._each())

    def of(
        self, embedding: FeatureEmbedding, encoded: Sequence[Encoded], items: Batch
    ) -> list[Tensor]:
        """The interests ``[B, V]`` in the candidates ``items``."""
        both = zip(self._each(), encoded, strict=True)
        return [one.of(embedding, events, items) for one, events in both]

    @property
    def names(self) -> tuple[str, ...]:
        """For people: the columns of all interests, in order."""
        return tuple(
            f"{one.sequence.name} {one.sequence.columns[at].role} (interest)"
            for one in self._each()
            for at in one.columns
        )

    @property
    def vocabularies(self) -> tuple[str, ...]:
        """The vocabularies of :attr:`names`."""
        return tuple(
            one.sequence.columns[at].vocabulary for one in self._each() for at in one.columns
        )

    def flops(self) -> tuple[int, int]:
        """A request's share and a candidate's, at full lengths."""
        each = [one.flops(one.sequence.max_length) for one in self._each()]
        return sum(request for request, _ in each), sum(candidate for _, candidate in each)

    def _each(self) -> list[SequenceInterest]:
        return [one for one in self if isinstance(one, SequenceInterest)]
