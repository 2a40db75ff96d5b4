"""Mixed Hetero Attention: dynamic and fixed queries read one sequence. Letters as in models/rankers/hemix/model.py.

    q_i = Q_X[i] WQ_X[i] ;  K = e_X WK_X ;  V = e_X WV_X ; a null item (k0, v0) is prepended
    O_X = concat_heads(softmax(q K' / sqrt(a)) V) WO_X                            eq. 11-14

There are few queries and many events, so keys and values are not computed: the key projection is
folded into the queries and the value projection follows the weighted sum (models/layers/attention/fold.py).
For one request with many candidates either may be cheaper; :func:`folding_pays` decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

from hemix.models.layers.attention.events import Events
from hemix.models.layers.attention.fold import Maps, fold, maps, unfold
from hemix.models.layers.attention.reading import attend, attend_one
from hemix.models.layers.dense import split_axis, xavier_slices_

NEVER = -1e4
"""Score of what is not there: its weight is exactly 0, and 0 times it stays 0."""


class Interest(nn.Module):
    """What reads one sequence, in one pass or with the request's share kept for its candidates."""

    def read(self, events: Events, t_BND: Tensor) -> Tensor:
        """Events and NS tokens ``[B, n, D]`` of the same rows -> ``[B, Q, D]``."""
        return self(self.encode(events), t_BND)

    def encode(self, events: Events) -> object:
        """The request's share, of one row or several."""
        raise NotImplementedError

    def forward(self, encoded: object, t_BND: Tensor) -> Tensor:
        """That share, of one request or one a row, and NS tokens ``[B, n, D]`` -> ``[B, Q, D]``."""
        raise NotImplementedError


@dataclass(frozen=True, kw_only=True)
class EncodedSequence:
    """A sequence as its queries see it, and what the fixed ones read, ``[B, F, D]``."""

    events: Events
    fixed: Tensor


def folding_pays(queries: int, events: int, *, width: int, heads: int, event_width: int) -> bool:
    """Whether reading ``events`` by folded queries costs less than by keys and values.

    Multiply-adds: folded, ``2 Q S (D + L A)``; by keys and values, ``2 L S D + 2 Q L D``.

    Args:
        queries: Q: queries in all that read the same events.
        events: L.
        width: D.
        heads: A.
        event_width: S.
    """
    without = queries * event_width * (width + events * heads)
    return without <= events * event_width * width + queries * events * width


@dataclass(frozen=True, kw_only=True)
class MixedAttentionShape:
    """Sizes and switches of a :class:`MixedHeteroAttention`.

    ``width`` D of queries and tokens, ``event_width`` S, ``heads``; ``dynamic`` and ``fixed``: how
    many queries of each kind. ``own_projections``: a ``WQ`` of its own for every query position, or
    one for all. ``null_item``: an item that is read where there is no event; its key and value are
    learned, or zeros. ``places``: that item stands once in every one of so many places that no event
    takes; None: once in every row. ``query_residual``: the result is ``LN(Q + O)``.
    """

    width: int
    event_width: int
    heads: int
    dynamic: int
    fixed: int
    own_projections: bool = True
    null_item: bool = True
    learned_null: bool = True
    places: int | None = None
    query_residual: bool = False


class MixedHeteroAttention(Interest):
    """(c, d) Every query position has its own ``WQ [Q, D, D]``; ``WK, WV [S, D]`` are all events'.

    The null item keeps the softmax defined for an empty sequence. ``kv_source``: whose ``WK, WV``
    are used instead of own ones; they stay that module's parameters.
    """

    null: Tensor | None

    def __init__(
        self, shape: MixedAttentionShape, kv_source: MixedHeteroAttention | None = None
    ) -> None:
        super().__init__()
        width, events = shape.width, shape.event_width
        self.heads, self.dynamic, self.count = shape.heads, shape.dynamic, shape.fixed
        self.fixed = nn.Parameter(torch.randn(shape.fixed, width) * 0.02)
        own = shape.dynamic + shape.fixed if shape.own_projections else 1
        self.query = nn.Parameter(xavier_slices_(torch.empty(own, width, width)))
        self._kv_sources = (
            () if kv_source is None else (kv_source,)
        )  # a tuple: no submodule of ours
        if kv_source is None:
            self.key = nn.Parameter(xavier_slices_(torch.empty(events, width)))
            self.value = nn.Parameter(xavier_slices_(torch.empty(events, width)))
        self.out = nn.Parameter(xavier_slices_(torch.empty(width, width)))
        if shape.null_item and shape.learned_null:
            self.null = nn.Parameter(torch.randn(2, width) * 0.02)
        else:
            zeros = torch.zeros(2, width) if shape.null_item else None
            self.register_buffer("null", zeros, persistent=False)
        self.places = shape.places
        self.norm = nn.LayerNorm(width) if shape.query_residual else None

    @property
    def weights(self) -> tuple[Tensor, Tensor]:
        """``WK, WV [S, D]``, its own or those of its source."""
        owner = self._kv_sources[0] if self._kv_sources else self
        return owner.key, owner.value

    def read(self, events: Events, t_BND: Tensor) -> Tensor:
        """Both kinds of queries in one pass over the events."""
        of, static = self._maps(events), self.static_queries(events)
        fixed = self._fixed(static, of).expand(events.rows, -1, -1, -1)
        folded, queries = [fixed], [static]
        if self.dynamic:
            asked = fold(t_BND, self._weight(0, self.dynamic), of.key, self.heads)
            folded, queries = [asked, fixed], [t_BND, static]
        return self._plus(queries, self._attend(torch.cat(folded, 1), events, of))

    def encode(self, events: Events) -> EncodedSequence:
        """The request's share: the events, and what the fixed queries read."""
        of, static = self._maps(events), self.static_queries(events)
        fixed = self._fixed(static, of).expand(events.rows, -1, -1, -1)
        return EncodedSequence(
            events=events, fixed=self._plus([static], self._attend(fixed, events, of))
        )

    def forward(self, encoded: object, t_BND: Tensor) -> Tensor:
        """NS tokens ``[B, n, D]`` of the sequence's group -> ``[B, Q, D]``, dynamic before fixed."""
        assert isinstance(encoded, EncodedSequence)
        rows, fixed = len(t_BND), encoded.fixed.expand(len(t_BND), -1, -1)
        if not self.dynamic:
            return fixed
        of, weight = self._maps(encoded.events), self._weight(0, self.dynamic)
        folds = folding_pays(
            rows * self.dynamic,
            len(encoded.events.values),
            width=self.out.shape[0],
            heads=self.heads,
            event_width=len(self.weights[0]),
        )
        if encoded.events.rows > 1 or folds:
            folded = fold(t_BND, weight, of.key, self.heads)
            asked = self._attend(folded, encoded.events, of)
        else:
            asked = self._with_keys(torch.einsum("bnd,nde->bne", t_BND, weight), encoded.events)
        return torch.cat([self._plus([t_BND], asked), fixed], 1)

    def keys_values(self, events: Events) -> tuple[Tensor, Tensor]:
        """Keys and values ``[A, L, a]`` of one request's events, the null item first."""
        assert events.layout is None, "a layout's empty places would be read as events"
        values = events.projected()
        key, value = self.weights
        both = (values @ key, values @ value)
        if self.null is not None:
            both = (torch.cat([self.null[:1], both[0]]), torch.cat([self.null[1:], both[1]]))
        keys, values = (split_axis(part, 1, (self.heads, -1)).transpose(0, 1) for part in both)
        return keys, values

    def null_bonus(self, events: Events) -> Tensor | None:
        """``[B]``: what the null item's score has more where it stands for several places."""
        if self.places is None:
            return None
        empty = self.places - events.offsets.diff()
        return torch.where(empty > 0, empty.clamp(min=1).to(self.out.dtype).log(), NEVER)

    def static_queries(self, events: Events) -> Tensor:
        """Queries ``[B or 1, F, D]`` that no candidate changes: the learned ones."""
        return self.fixed[None]

    def _fixed(self, static: Tensor, of: Maps) -> Tensor:
        return fold(static, self._weight(self.dynamic, self.count), of.key, self.heads)

    def _plus(self, queries: list[Tensor], read_BQD: Tensor) -> Tensor:
        """What was read, with the residual and its norm when the configuration has them."""
        if self.norm is None:
            return read_BQD
        q_BQD = torch.cat([query.expand(len(read_BQD), -1, -1) for query in queries], 1)
        y_BQD: Tensor = self.norm(q_BQD + read_BQD)
        return y_BQD

    def _maps(self, events: Events) -> Maps:
        project = None
        if events.project is not None:
            project = (events.project.weight.T, events.project.bias)
        return maps(*self.weights, self.null, project)

    def _weight(self, first: int, count: int) -> Tensor:
        """``WQ [count, D, D]`` of some positions."""
        if len(self.query) == 1:
            return self.query.expand(count, -1, -1)
        return self.query[first : first + count]

    def _attend(self, folded_BQAS: Tensor, events: Events, of: Maps) -> Tensor:
        """Folded queries of every row, or of all candidates of one request -> ``[B, Q, D]``."""
        rows, count, heads, size = folded_BQAS.shape
        bonus = self.null_bonus(events)
        if events.rows == 1:
            assert events.layout is None, "a layout's empty places would be read as events"
            q_MS = folded_BQAS.reshape(rows * count * heads, size)
            if bonus is not None:
                q_MS = torch.cat([q_MS[:, :-1], q_MS[:, -1:] + bonus], 1)
            read = attend_one(q_MS, self.null is not None, events.values)
        else:
            width = events.values.shape[1]
            q_BMS = folded_BQAS.flatten(1, 2)
            null = q_BMS[..., -1] if self.null is not None else None
            null = null if bonus is None or null is None else null + bonus[:, None]
            read, weight = attend(q_BMS[..., :width], null, events)
            read = torch.cat([read, weight[..., None]], -1)
        read_BQAS = read.view(rows, count, heads, read.shape[-1])[..., : len(of.value)]
        return unfold(read_BQAS, of.value, of.shift, self.out)

    def _with_keys(self, queries: Tensor, events: Events) -> Tensor:
        """All candidates' queries ``[B, n, D]`` on the keys and values of one request."""
        keys, values = self.keys_values(events)
        if not keys.shape[1]:  # no event and no null item: nothing to read
            return torch.zeros_like(queries)
        q_AMa = split_axis(queries.flatten(0, 1), 1, (self.heads, -1)).transpose(0, 1)
        bonus = self.null_bonus(events)
        mask = None if bonus is None else fn.pad(bonus[:, None], (0, keys.shape[1] - 1))
        read = fn.scaled_dot_product_attention(
            q_AMa[None], keys[None], values[None], attn_mask=mask
        )[0]
        return read.transpose(0, 1).reshape(queries.shape) @ self.out
