"""Which width a vocabulary needs: field-level dimension optimisation (FDO) of a trained table.

Paper: GDCN, arXiv 2311.04635 (:mod:`hemix.models.embedding.widths`). The rows of a trained table are
centred; k is the smallest number of principal components that explain more than a share r of their
variance (squared singular values), all rows alike, ``k <= min(rows - 1, E)`` and at least 1. The
paper speaks of singular values; its code, and this, of variance. ``r = 1`` keeps all components.

Left out: the row of missing values, and rows that training never touched, which hold random numbers
of full rank.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

MISSING = 0


def dimension(rows_VE: Tensor, ratio: float) -> int:
    """k of the rows ``[V, E]``.

    Example:
        >>> dimension(torch.tensor([[3.0, 0.0], [-3.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), 0.8)
        1
    """
    rows_VE = rows_VE.double()
    most = min(len(rows_VE) - 1, rows_VE.shape[1])
    if most < 1:
        return 1
    variance = torch.linalg.svdvals(rows_VE - rows_VE.mean(0)).square()[:most]
    if not variance.sum():
        return 1
    shares = (variance / variance.sum()).cumsum(0)
    if ratio >= 1:
        return most
    return min(int((shares <= ratio).sum()) + 1, most)


def touched(table_VE: Tensor, first_VE: Tensor | None) -> Tensor:
    """Which rows ``[V]`` training moved from ``first_VE``; all of them when that is not known.

    Weight decay shrinks a row that no batch touches: it keeps its direction.
    """
    moved = torch.ones(len(table_VE), dtype=torch.bool)
    if first_VE is not None:
        cosine = torch.nn.functional.cosine_similarity(table_VE.double(), first_VE.double(), dim=1)
        moved = (cosine < 1 - 1e-9) & table_VE.any(1)
    moved[MISSING] = False
    return moved


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A vocabulary's table: its ``rows``, those ``counted``, its ``width`` and the chosen one."""

    name: str
    rows: int
    counted: int
    width: int
    chosen: int

    def numbers(self, common: int) -> tuple[int, int]:
        """Parameters now, and with the chosen width (and its alignment to ``common``)."""
        aligned = self.chosen * common if self.chosen != common else 0
        return self.rows * self.width, self.rows * self.chosen + aligned


def chosen_widths(
    tables: Mapping[str, Tensor], first: Mapping[str, Tensor] | None, ratio: float
) -> list[Chosen]:
    """The width of every vocabulary's table ``[V, E]``; ``first``: the tables before training."""
    found = []
    for name, table in tables.items():
        counted = touched(table, None if first is None else first[name])
        found.append(
            Chosen(
                name=name,
                rows=len(table),
                counted=int(counted.sum()),
                width=table.shape[1],
                chosen=dimension(table[counted], ratio),
            )
        )
    return found
