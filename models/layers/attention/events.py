"""A sequence of a batch as attention reads it.

Axes: ``B`` rows, ``P`` places of a layout, ``T`` events, ``S`` width of an event.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hemix.models.layers.attention.layout import Layout


@dataclass(frozen=True, kw_only=True)
class Events:
    """Embedded events without padding.

    ``values``: ``[T, S]``, one row after the other, ending at ``offsets [B + 1]``; or ``[P, S]``
    in the order of ``layout``, when there is one (never for a single row). ``project``: a linear map
    of each event that is still to be done.
    """

    values: Tensor
    offsets: Tensor
    layout: Layout | None = None
    project: nn.Linear | None = None

    @property
    def rows(self) -> int:
        """B."""
        return len(self.offsets) - 1

    def projected(self) -> Tensor:
        """The values with the projection done."""
        return self.through(self.values)

    def through(self, x: Tensor) -> Tensor:
        """The projection of ``[..., S]``."""
        return x if self.project is None else self.project(x)

    def whose(self) -> Tensor:
        """int64 ``[T]``: each event's row, where events lie row after row."""
        assert self.layout is None
        rows = torch.arange(self.rows, device=self.offsets.device)
        return rows.repeat_interleave(self.offsets.diff(), output_size=len(self.values))

    def sums(self, values: Tensor) -> Tensor:
        """Sums over each row's events: ``[T, ...] -> [B, ...]``."""
        total = values.new_zeros(self.rows, *values.shape[1:])
        return total.index_add(0, self.whose(), values)

    def latest(self, count: int) -> Tensor:
        """The last events of every row, the latest first: ``[B, count, S]``, zeros where none is."""
        assert self.layout is None
        if not len(self.values) or not count:
            width = self.through(self.values).shape[1]
            return self.values.new_zeros(self.rows, count, width)
        back = torch.arange(count, device=self.offsets.device)
        at = self.offsets[1:, None] - 1 - back
        there = back < self.offsets.diff()[:, None]
        found = self.values.index_select(0, at.clamp(min=0).flatten()).view(*at.shape, -1)
        return self.through(found) * there[..., None]
