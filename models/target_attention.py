"""DIN's attention: each candidate weighs the user's events by its own relevance.

Paper: Zhou et al., "Deep Interest Network for Click-Through Rate Prediction", KDD 2018,
arXiv 1706.06978. Interest (eq. 3): ``v = sum_j a(e_j, t) e_j`` with an MLP ``a`` over
``[e_j, t, e_j - t, e_j * t]`` whose outputs are not normalised.

Axes: B batch, L events, W width of the columns that event and candidate share (item, author, ...),
V width of all columns of an event, K the first hidden width of ``a``. Columns without a counterpart
on the candidate (action, gap) are given to ``a`` and to the sum, but are not compared.

The first layer of ``a`` is linear in its parts, so what belongs to the events is computed once a
request and what belongs to the candidate once a candidate:
``W [e, t, e - t, e * t, x] = (W_e + W_d) e + W_x x + (W_t - W_d) t + W_p (e * t)``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.spec import FeatureSpec, SequenceFeature
from models.batch import Batch
from models.embeddings import FeatureEmbedding
from models.layers import Tower, mlp_flops, split_axis


@dataclass(frozen=True, kw_only=True)
class Events:
    """The events' share of the attention, of one request or one a row.

    ``event [B, L, W]``, ``value [B, L, V]``, ``hidden [B, L, K]`` (their part of the first layer),
    ``mask [B, L]`` (True = an event).
    """

    event: Tensor
    value: Tensor
    hidden: Tensor
    mask: Tensor


class InterestAttention(nn.Module):
    """``sum_j a(...) value_j`` over the events of a row: ``[B, V]``, 0 when there is none.

    Example:
        >>> attention = InterestAttention(shared=4, extra=2, hidden=(8,))
        >>> events = attention.encode(
        ...     torch.zeros(1, 5, 4), torch.zeros(1, 5, 2), torch.ones(1, 5, dtype=torch.bool)
        ... )
        >>> attention.read(events, torch.zeros(3, 4)).shape
        torch.Size([3, 6])
    """

    def __init__(self, shared: int, extra: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.sizes = [shared, shared, shared, shared, extra]
        self.hidden = tuple(hidden)
        self.score = Tower(4 * shared + extra, hidden)

    def forward(self, event: Tensor, extra: Tensor, target: Tensor, mask: Tensor) -> Tensor:
        """``event [B, L, W]``, ``extra [B, L, V - W]``, ``target [B, W]``, ``mask [B, L]``."""
        return self.read(self.encode(event, extra, mask), target)

    def encode(self, event: Tensor, extra: Tensor, mask: Tensor) -> Events:
        """What no candidate changes; one row (a request) serves any number of candidates."""
        e, _, d, _, x = torch.split(self._first.weight, self.sizes, 1)
        value = torch.cat([event, extra], -1)
        hidden = fn.linear(value, torch.cat([e + d, x], 1))
        return Events(event=event, value=value, hidden=hidden, mask=mask)

    def read(self, events: Events, target: Tensor) -> Tensor:
        """The interest ``[B, V]`` in each ``target [B, W]``."""
        _, t, d, p, _ = torch.split(self._first.weight, self.sizes, 1)
        target_BK = fn.linear(target, t - d, self._first.bias)
        product_BLK = fn.linear(events.event * target[:, None], p)
        weight = events.hidden + target_BK[:, None] + product_BLK
        for layer in [*self.score.mlp.net, self.score.out][1:]:
            weight = layer(weight)
        weight_BL = weight.squeeze(-1) * events.mask
        if len(events.value) == 1:  # one sequence for all rows: a plain product
            return weight_BL @ events.value[0]
        return torch.einsum("bl,blv->bv", weight_BL, events.value)

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
        self.shared = shared
        self.others = [i for i in range(len(names)) if i not in shared]
        self.target = [(names[i], fields[names[i]]) for i in shared]

    def events(self, embedding: FeatureEmbedding, request: Batch) -> Events:
        """The request's share, embeddings looked up once."""
        events, mask = embedding.sequence(request, self.sequence)
        events_BLCE = split_axis(events, -1, (len(self.sequence.columns), -1))
        event = events_BLCE[:, :, self.shared].flatten(2)
        return self.encode(event, events_BLCE[:, :, self.others].flatten(2), mask)

    def of(self, embedding: FeatureEmbedding, events: Events, items: Batch) -> Tensor:
        """The interest ``[B, V]`` in the candidates ``items``."""
        parts = [embedding.lookup(name, items.ids[field]) for name, field in self.target]
        empty = events.event.new_zeros(items.size, 0)
        return self.read(events, torch.cat([empty, *parts], -1))
