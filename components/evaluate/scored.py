"""The scores of every model that takes part, each under the states of the user that it was asked with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from hemix.components.evaluate.results import ModelInfo, prediction_column, shared_column
from hemix.components.evaluate.scoring import OWN, Scores, Viewed
from hemix.progress import say


class Scored:
    """``scores[model][task] [B]`` of each row's own state, ``shared[kind][model][task] [B]`` of one
    state a user or a request, and who the models are.

    A model that was not asked under a kind has one score for both: nothing of the user's state enters
    it, or every row is of its group's moment.
    """

    def __init__(self, kinds: Sequence[str]) -> None:
        self.scores: dict[str, Scores] = {}
        self.shared: dict[str, dict[str, Scores]] = {kind: {} for kind in kinds}
        self.infos: list[ModelInfo] = []

    def add(self, name: str, version: str, description: str, work: Callable[[], Viewed]) -> None:
        """Ask a model, and take the time.

        Args:
            name: of the model in the results.
            version: its name in the registry, if it has one.
            description: for a person to read.
            work: scores it.
        """
        start = time.monotonic()
        found = work()
        seconds = round(time.monotonic() - start, 1)
        self.scores[name] = found[OWN]
        for kind, models in self.shared.items():
            models[name] = found.get(kind, found[OWN])
        info = ModelInfo(name=name, version=version, description=description, seconds=seconds)
        self.infos.append(info)
        say(f"evaluate: {name} scored in {seconds} s")

    def columns(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Every column of ``predictions.parquet`` that holds scores."""
        for model, tasks in self.scores.items():
            for task, values in tasks.items():
                yield prediction_column(model, task), values
        for kind, models in self.shared.items():
            for model, tasks in models.items():
                for task, values in tasks.items():
                    yield shared_column(kind, model, task), values
