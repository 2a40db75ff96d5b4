"""Fewer rows than ids: frequent ids keep a row of their own, the others share the rest by hash.

Ids of a vocabulary stand in order of falling frequency (the transform's). The first half of the rows
belongs to the first ids; every other id shares a row of the second half (Weinberger et al., Feature
Hashing for Large Scale Multitask Learning, ICML 2009, with an exact head). What collides is counted,
not guessed: :func:`collisions`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import BaseModel
from torch import Tensor

from hemix.errors import DefinitionError
from hemix.spec import FeatureSpec, Vocabulary

FEWEST_ROWS = 16
_ODD = 0x9E3779B1
"""Knuth's multiplier, 2^32 over the golden ratio."""


class Collisions(BaseModel):
    """A hashed vocabulary: its ids and rows, ids that share their row, and most ids in one row."""

    ids: int
    rows: int
    sharing: int
    most: int

    @property
    def line(self) -> str:
        share = 100 * self.sharing / self.ids
        return (
            f"{self.ids:,} ids in {self.rows:,} rows, {share:.1f} % of the ids share a row, at most "
            f"{self.most:,} one"
        )


def rows_of(vocabulary: Vocabulary, hashed: Mapping[str, int]) -> int:
    """Rows of a vocabulary's table."""
    return min(hashed.get(vocabulary.name, vocabulary.size), vocabulary.size)


def rows(ids: Tensor, rows: int) -> Tensor:
    """The row in ``[0, rows)`` of each id, int64, any shape.

    Example:
        >>> rows(torch.tensor([0, 7, 8, 100_000]), 16).tolist()
        [0, 7, 11, 12]
    """
    own = rows // 2
    ids = ids.long()
    mixed = (ids * _ODD) & 0xFFFFFFFF
    mixed = ((mixed ^ (mixed >> 15)) * 0x85EBCA6B) & 0xFFFFFFFF
    mixed = mixed ^ (mixed >> 13)
    return torch.where(ids < own, ids, own + mixed % (rows - own))


def collisions(spec: FeatureSpec, hashed: Mapping[str, int]) -> dict[str, Collisions]:
    """Of each vocabulary that has fewer rows than ids, over all its ids."""
    found = {}
    for vocabulary in spec.vocabularies:
        count = rows_of(vocabulary, hashed)
        if count < vocabulary.size:
            in_row = torch.bincount(rows(torch.arange(vocabulary.size), count), minlength=count)
            found[vocabulary.name] = Collisions(
                ids=vocabulary.size,
                rows=count,
                sharing=int(in_row[in_row > 1].sum()),
                most=int(in_row.max()),
            )
    return found


def require_known(spec: FeatureSpec, hashed: Mapping[str, int], key: str = "hashed") -> None:
    """Raise DefinitionError when ``hashed``, the value of ``key``, names what is no vocabulary."""
    known = [vocabulary.name for vocabulary in spec.vocabularies]
    if unknown := sorted(set(hashed) - set(known)):
        raise DefinitionError(
            f"model.embedding.{key}: there is no vocabulary {unknown[0]!r}.",
            hint=f"Known: {', '.join(known)}.",
        )
