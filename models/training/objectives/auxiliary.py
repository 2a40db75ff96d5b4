"""Auxiliary losses: terms that look at the ranker itself, or at a batch in a way of their own.

A term that compares no rows of different processes belongs here: a penalty, a self-supervised loss.
To add one: a field of :class:`hemix.models.objective_config.ObjectiveConfig` with a
configuration class of its own, and its class in :data:`AUXILIARY` under the field's name. It is then
weighed, logged by that name, trained (its parameters are the ranker's) and kept in checkpoints, and
in versions unless it is ``training_only``; evaluation and serving never call it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor, nn

from hemix.models.data.batch import Batch
from hemix.models.rankers.base import Ranker


class Auxiliary(nn.Module):
    """A loss of a ranker and a batch. Of parts of a batch the mean by rows is taken.

    ``training_only``: no model version holds its parameters.
    """

    training_only: ClassVar[bool] = False

    def prepare(self, ranker: Ranker, batch: Batch, joined: Callable[[Tensor], Tensor]) -> None:
        """Before a step: all rows of this process; ``joined`` puts rows of all processes together."""

    def forward(self, ranker: Ranker, batch: Batch) -> Tensor:
        """The loss, a scalar; ``batch`` holds the rows of this process (and part)."""
        raise NotImplementedError


AUXILIARY: dict[str, Callable[[Any, Ranker], Auxiliary]] = {}
"""Name of the term -> what makes it of its configuration and the ranker."""
