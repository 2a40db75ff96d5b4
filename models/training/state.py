"""Where a training stands, and what comes of it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from pydantic import BaseModel

from hemix.models.embedding.hashing import Collisions
from hemix.models.rankers.base import Ranker
from hemix.models.training.curves import Phase, Point, ValidationPoint
from hemix.models.training.ftrl import Zeros


class State(BaseModel):
    """Where a training stands; with the tensors of a checkpoint it is all that a resume needs."""

    fingerprint: str
    phase: Phase = "fit"
    step: int = 0
    done: bool = False
    without_gain: int = 0
    best: ValidationPoint | None = None
    curve: list[Point] = []
    validation: list[ValidationPoint] = []

    def cuts(self, epoch: float) -> int:
        """How many validations up to ``epoch`` were no better than all before; a refit, which has
        none of its own, goes by those of the fit."""
        best, found = -math.inf, 0
        for point in self.validation:
            if point.epoch > epoch:
                break
            found += point.score <= best
            best = max(best, point.score)
        return found


@dataclass(kw_only=True)
class Trained:
    """A trained ranker, its curves and the metrics of its best validation point.

    ``reader_wait``: the share of the time of its steps in which the trainer waited for rows.
    ``collisions``: of the tables with fewer rows than ids. ``zeros``: what an optimiser that takes
    weights to 0 made of tables and interaction weights.
    """

    ranker: Ranker
    state: State
    steps_per_epoch: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)
    collisions: dict[str, Collisions] = field(default_factory=dict)
    zeros: dict[str, Zeros] = field(default_factory=dict)

    @property
    def reader_wait(self) -> float:
        points = self.state.curve
        return sum(point.reader_wait for point in points) / max(len(points), 1)
