"""Random numbers that do not depend on how many processes share a batch.

Every process draws the numbers of the whole batch, from the same stream, and keeps those of its own
rows. So a model with dropout trains the same in any number of processes, and a checkpoint needs one
random state. Layers draw from here instead of from torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as fn


@dataclass(frozen=True, kw_only=True)
class _Rows:
    local: slice
    global_size: int


_ROWS: ContextVar[_Rows | None] = ContextVar("rows of the batch", default=None)


@contextmanager
def batch_rows(*, local: slice, global_size: int) -> Iterator[None]:
    """Inside, the first axis of what is drawn are the rows ``local`` of a batch of ``global_size``."""
    token = _ROWS.set(_Rows(local=local, global_size=global_size))
    try:
        yield
    finally:
        _ROWS.reset(token)


def uniform(shape: Sequence[int], device: torch.device) -> Tensor:
    """Numbers in [0, 1), float32 ``shape``; the first axis are the rows of a batch."""
    rows = _ROWS.get()
    if rows is None:
        return torch.rand(*shape, device=device)
    return torch.rand(rows.global_size, *shape[1:], device=device)[rows.local]


def uniform_events(offsets: Tensor, longest: int = 0) -> Tensor:
    """Numbers in [0, 1), float32 ``[T]``, for the events of rows that end at ``offsets [B + 1]``.

    They are those that rows padded to the longest of the batch would get: which is ``longest``
    when these rows are a part of one.
    """
    mask = _events(offsets, longest)
    return uniform(mask.shape, mask.device)[mask]


def dropout_events(dropout: Dropout, offsets: Tensor, longest: int, width: int) -> Tensor:
    """Factors ``[T, width]`` of ``dropout``: 0, or what keeps the mean; rows as above."""
    mask = _events(offsets, longest)
    factors: Tensor = dropout(torch.ones(*mask.shape, width, device=mask.device))
    return factors[mask]


def _events(offsets: Tensor, longest: int) -> Tensor:
    """Where padded rows hold an event: ``[B, L]``."""
    lengths = offsets.diff()
    longest = max(longest, int(lengths.max()) if len(lengths) else 0)
    return torch.arange(longest, device=offsets.device) < lengths[:, None]


class Dropout(nn.Dropout):
    """``nn.Dropout`` over ``[B, ...]``.

    Example:
        >>> Dropout(0.5).eval()(torch.ones(2))
        tensor([1., 1.])
    """

    def forward(self, input: Tensor) -> Tensor:
        rows = _ROWS.get()
        if rows is None or not self.training or not self.p:
            return super().forward(input)
        shape = (rows.global_size, *input.shape[1:])
        # Masks are drawn in memory order: match the input's layout so that they are reproducible.
        axes = sorted(range(input.ndim), key=input.stride, reverse=True)
        ones = input.new_ones([shape[axis] for axis in axes])
        back = [axes.index(axis) for axis in range(input.ndim)]
        return input * fn.dropout(ones.permute(back), self.p)[rows.local]
