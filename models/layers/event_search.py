"""Multi-head target attention over events, all of them or those that a search has found.

SIM (arXiv 2006.05639) and ETA (arXiv 2108.04468) read what they have found this way.

Axes: B rows · b rows of a request's share: B, or 1 that serves all candidates of a request · L
events · k found ones · H heads, d a head's width · S embedding width of an event · T of the candidate.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hemix.models.layers.causal import product
from hemix.models.layers.dense import split_axis, xavier_slices_


def chosen(x: Tensor, index_Bk: Tensor) -> Tensor:
    """Of ``x [b, L, ...]`` the events ``index``: ``[B, k, ...]``."""
    if len(x) == 1:
        return x[0][index_Bk]
    index = index_Bk.reshape(*index_Bk.shape, *(1 for _ in x.shape[2:]))
    return x.gather(1, index.expand(-1, -1, *x.shape[2:]))


@dataclass(frozen=True, kw_only=True)
class Read:
    """Events as a :class:`TargetAttention` reads them: ``keys [b, L, H * d]``, ``values [b, L, .]``,
    ``mask [b, L]`` (True = an event).
    """

    keys: Tensor
    values: Tensor
    mask: Tensor

    def pick(self, index_Bk: Tensor) -> Read:
        """The events ``index`` alone, row by row."""
        return Read(
            keys=chosen(self.keys, index_Bk),
            values=chosen(self.values, index_Bk),
            mask=chosen(self.mask, index_Bk),
        )


class TargetAttention(nn.Module):
    """The candidate reads events: ``head_i = softmax_j(t WQ_i . e_j WK_i / sqrt(d)) value_j``.

    With ``project`` ``value_j = e_j WV_i`` and the heads side by side go through ``WO``: ``[B, H * d]``.
    Without it every head sums the events themselves: ``[B, H * S]``. An empty sequence gives 0.

    Args:
        event: S: width of an event.
        target: width of the candidate.
        heads: H.
        width: d: width of a head.
        project: whether values and outputs are projected.
    """

    def __init__(self, event: int, target: int, heads: int, width: int, *, project: bool) -> None:
        super().__init__()
        self.heads, total = heads, heads * width
        self.key = nn.Parameter(xavier_slices_(torch.empty(event, total)))
        self.query = nn.Parameter(xavier_slices_(torch.empty(target, total)))
        self.value = nn.Parameter(xavier_slices_(torch.empty(event, total))) if project else None
        self.out = nn.Parameter(xavier_slices_(torch.empty(total, total))) if project else None
        self.sizes = (event, target, total)
        self.width = total if project else heads * event

    def encode(self, events: Tensor, mask: Tensor) -> Read:
        """The request's share of ``events [b, L, S]``."""
        values = events if self.value is None else events @ self.value
        return Read(keys=events @ self.key, values=values, mask=mask)

    def forward(self, target: Tensor, read: Read) -> Tensor:
        """``target [B, T]`` -> ``[B, width]``."""
        query = self._split((target @ self.query)[:, None])
        score = product(query, self._split(read.keys).transpose(-1, -2)) / query.shape[-1] ** 0.5
        allowed = read.mask[:, None, None]
        score = score.masked_fill(~allowed, torch.finfo(score.dtype).min)
        weight = score.softmax(-1) * allowed
        if self.out is None:
            return product(weight.transpose(1, 2), read.values[:, None]).flatten(1)
        return product(weight, self._split(read.values)).flatten(1) @ self.out

    def _split(self, x_BLD: Tensor) -> Tensor:
        return split_axis(x_BLD, -1, (self.heads, -1)).transpose(1, 2)

    def flops(self, length: int, read: int) -> tuple[int, int]:
        """Of ``length`` events of which ``read`` are attended to: a request's share, a candidate's."""
        event, target, total = self.sizes
        own = 2 * target * total + 2 * read * total
        if self.out is None:
            return 2 * length * event * total, own + 2 * read * self.width
        return 4 * length * event * total, own + 2 * read * total + 2 * total**2
