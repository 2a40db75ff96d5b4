"""Groups of rows, and sums, maxima and log-sums over them.

Axes: ``B`` rows, ``G`` groups. Rows of no other group enter a group's value: there is no padding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Groups:
    """``of`` (int64 ``[B]``): the group of each row, ``0 .. count - 1``."""

    of: Tensor
    count: int

    @staticmethod
    def by(keys: Tensor) -> Groups:
        """Rows with equal keys: ``[B]``, or ``[B, P]`` for rows that agree in all P."""
        found, of = torch.unique(keys, dim=0, return_inverse=True)
        return Groups(of, len(found))

    def sum(self, values: Tensor) -> Tensor:
        """``[B]`` -> ``[G]``."""
        return values.new_zeros(self.count).index_add(0, self.of, values)

    def logsumexp(self, values: Tensor) -> Tensor:
        """``[B]`` -> ``[G]``; rows of value -inf count nothing, a group of none but such gives 0."""
        top = values.detach().new_full((self.count,), -torch.inf)
        top = top.scatter_reduce(0, self.of, values.detach(), "amax")
        top = torch.where(top.isfinite(), top, 0.0)
        total = self.sum((values - top[self.of]).exp())
        return torch.where(total > 0, total, 1.0).log() + top

    def valid(self, labels: Tensor) -> Tensor:
        """Groups that hold a 1 and a 0: bool ``[G]``."""
        positives, rows = self.sum(labels), self.sum(torch.ones_like(labels))
        return (positives > 0) & (positives < rows)

    def rows_in(self, chosen: Tensor) -> Tensor:
        """Share of the rows that lie in the groups ``chosen`` (bool ``[G]``)."""
        return chosen[self.of].to(torch.get_default_dtype()).mean()

    def mean_over(self, values: Tensor, chosen: Tensor) -> Tensor:
        """Mean of ``values [G]`` over the groups ``chosen``; 0, without a gradient, when there is none."""
        return torch.where(chosen, values, 0.0).sum() / chosen.sum().clamp(min=1)


def pairs(groups: Groups, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Every pair of a row of label 1 and a row of label 0 in one group: their rows, int64 ``[P]``."""
    order = torch.argsort(groups.of, stable=True)
    up, down = order[labels[order] > 0], order[labels[order] == 0]
    counts = torch.bincount(groups.of[down], minlength=groups.count)
    starts = counts.cumsum(0) - counts
    many = counts[groups.of[up]]
    first = torch.repeat_interleave(up, many)
    ends = many.cumsum(0)
    within = torch.arange(len(first), device=first.device) - torch.repeat_interleave(
        ends - many, many
    )
    return first, down[torch.repeat_interleave(starts[groups.of[up]], many) + within]


@dataclass(frozen=True, kw_only=True)
class Rows:
    """A whole batch, of all processes and parts, as a term sees it.

    ``logits``: of each pass (``live``: rows as they are; ``user``, ``request``: on one state of the
    group, where that differs; ``quantised``), of each task ``[B]``. ``labels``: of each task ``[B]``.
    ``keys``: int64 ``[B]``, of ``user``, ``request`` and ``item``; raw ids, never hashed to a table's
    rows and never dropped.
    """

    logits: dict[str, dict[str, Tensor]]
    labels: dict[str, Tensor]
    keys: dict[str, Tensor]

    def view(self, name: str, task: str) -> Tensor:
        """The logits of a pass; the live ones where the state of the group is that of its rows."""
        return self.logits.get(name, self.logits["live"])[task]

    @cached_property
    def groups(self) -> dict[str, Groups]:
        """By ``user`` and by ``request``."""
        return {by: Groups.by(self.keys[by]) for by in ("user", "request") if by in self.keys}


def weighted(losses: Sequence[tuple[float, Tensor]]) -> Tensor:
    """The sum of losses times their weights."""
    return torch.stack([weight * loss for weight, loss in losses]).sum()
