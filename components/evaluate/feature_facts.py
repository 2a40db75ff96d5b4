"""What ``evaluation/features.json`` holds: every feature on its own; written by evaluate, drawn by
report."""

from __future__ import annotations

from pathlib import Path

from hemix.components.evaluate.results import Interval
from hemix.features.transform.statistics import Histogram
from hemix.files import read_json, write_json
from hemix.texts.frozen import Frozen

FEATURES_FILE = "features.json"


class FeatureFacts(Frozen):
    """One feature: its histogram in each split, and the population stability index of each of them
    against training."""

    name: str
    histograms: dict[str, Histogram]
    drift: dict[str, float]


class Importance(Frozen):
    """AUC that is lost when the values of a group of features are shuffled among test rows."""

    group: str
    features: tuple[str, ...]
    loss: Interval


class Features(Frozen):
    """The whole document. ``importances``: the largest loss first, of ``task`` over ``rows`` rows."""

    task: str
    rows: int
    features: tuple[FeatureFacts, ...]
    importances: tuple[Importance, ...]

    def write(self, folder: Path) -> None:
        write_json(folder / FEATURES_FILE, self.model_dump(mode="json"))

    @staticmethod
    def read(folder: Path) -> Features | None:
        """What the folder holds; None for an evaluation of an earlier release."""
        path = folder / FEATURES_FILE
        return Features.model_validate(read_json(path)) if path.exists() else None
