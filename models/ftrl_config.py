"""Constants of Group-FTRL and FTRL (:mod:`hemix.models.training.ftrl` has the formulas)."""

from __future__ import annotations

from pydantic import Field

from hemix.texts.frozen import Frozen

RELEASED_ROWS = 4096
"""Rows over which the release sums its loss; a mean over them divides g, and so z and sqrt(n)."""


class GroupFTRLConfig(Frozen):
    """Group-FTRL of the tables; its learning rate is `embedding_learning_rate` (the release: 0.02)."""

    beta: float = Field(default=1 / RELEASED_ROWS, gt=0)
    """Added to the root of a weight's summed squares; the release's 1 for a mean over 4,096 rows."""
    group_l1: float = Field(default=10 / RELEASED_ROWS, ge=0)
    """How strongly whole rows are drawn to 0; the release's 10 for a mean over 4,096 rows."""
    l2: float = Field(default=10 / RELEASED_ROWS, ge=0)
    """How strongly weights are drawn to 0 without reaching it."""
    keep_initial: bool = False
    """Begin with the random first weights; false: rows begin at 0 until a batch touches them, as
    the formula has it."""


class FTRLConfig(Frozen):
    """FTRL of a ranker's interaction weights."""

    learning_rate: float = Field(default=0.02, gt=0)
    """First learning rate; it falls by itself, weight by weight."""
    initial: float = Field(default=0.1 / RELEASED_ROWS**2, gt=0)
    """What a weight's summed squares begin with; the release's 0.1 for a mean over 4,096 rows."""
    l1: float = Field(default=0.1 / RELEASED_ROWS, ge=0)
    """How strongly single weights are drawn to 0."""
    l2: float = Field(default=0.1 / RELEASED_ROWS, ge=0)
    """How strongly weights are drawn to 0 without reaching it."""
    keep_initial: bool = False
    """Begin with the random first weights; false: the first step forgets them, as the formula has
    it."""
