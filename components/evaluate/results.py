"""What ``evaluation/metrics.json`` holds; written by evaluate, read by validate_model and report.

Models are ``candidate``, ``boosting``, ``rule``, ``popularity``, when there is one ``champion``, and,
when a field has a ``serve_as``, ``as_logged``.
Metrics within a user (``user_...``) are of scores of one state a user, those within a request of one
state a request; all others of each row's own state (:mod:`hemix.components.evaluate.shared`).
Metrics are those of :data:`hemix.models.metrics.bootstrap.METRICS`. A number that the sample cannot define is
``null`` and its ``note`` says why (JSON has no NaN).
"""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path

from pydantic import Field

from hemix.files import read_json, write_json
from hemix.models.metrics.bootstrap import Estimate
from hemix.texts.frozen import Frozen, parse

CANDIDATE = "candidate"
CHAMPION = "champion"
BOOSTING = "boosting"
POPULARITY = "popularity"
RULE = "rule"
AS_LOGGED = "as_logged"
"""The candidate with its fields' own values in place of ``serve_as``; no gate looks at it."""
METRICS_FILE = "metrics.json"
PREDICTIONS_FILE = "predictions.parquet"


def prediction_column(model: str, task: str) -> str:
    """Name of a model's probability column (float32) in ``predictions.parquet``."""
    return f"p_{model}_{task}"


def shared_column(kind: str, model: str, task: str) -> str:
    """Name of the same of the rows as of one moment a user or a request (``kind``)."""
    return f"p_one_{kind}_{model}_{task}"


def slice_column(dimension: str) -> str:
    """Name of a slice's string column in ``predictions.parquet``."""
    return f"slice_{dimension}"


class Interval(Frozen):
    """A number of the whole sample and its interval by user bootstrap."""

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""

    @staticmethod
    def of(estimate: Estimate, note: str = "") -> Interval:
        """NaN becomes None; ``note`` is kept only then. A value without an interval says why."""
        value, low, high = (
            None if math.isnan(number) else number
            for number in (estimate.value, estimate.low, estimate.high)
        )
        few = "too few users or positives for an interval"
        note = note if value is None else few if low is None else ""
        return Interval(value=value, low=low, high=high, note=note)


class CalibrationCurve(Frozen):
    """Equal-mass bins, lowest scores first: rows, mean predicted and observed rate of each."""

    rows: tuple[int, ...]
    predicted: tuple[float, ...]
    observed: tuple[float, ...]


class TaskResult(Frozen):
    """One task: ``metrics[model][metric]``, ``differences[rival][metric]`` (candidate - rival).

    ``ordered_users`` and ``ordered_requests``: those with a positive and a negative; metrics within a
    user and a request are means over these, for in all others every order is as good.
    """

    positives: int
    ordered_users: int = 0
    ordered_requests: int = 0
    rate: float
    metrics: dict[str, dict[str, Interval]]
    differences: dict[str, dict[str, Interval]]
    calibration: dict[str, CalibrationCurve]


class WithinResult(Frozen):
    """A task within another: its own probability over the ``rows`` where ``given``'s label is 1.

    Of every model it is the quotient of its probabilities of both tasks
    (:func:`hemix.models.metrics.pointwise.conditional`).
    """

    given: str
    rows: int
    result: TaskResult


class SliceResult(Frozen):
    """AUC of each model on the rows of one slice, and candidate - rival on the same rows."""

    dimension: str
    slice: str
    task: str
    rows: int
    users: int
    positives: int
    auc: dict[str, Interval]
    difference: dict[str, Interval]


class ModelInfo(Frozen):
    """Where a model's scores come from, for a person to read."""

    name: str
    version: str = ""
    description: str = ""
    seconds: float = 0.0


class Bootstrap(Frozen):
    """How the intervals were made."""

    replicates: int
    seed: int
    confidence: float


class Results(Frozen):
    """The whole document; ``window_end`` is exclusive, ``requests`` counts distinct request ids.

    ``tasks`` are measured over all impressions; ``within`` has those that the candidate learnt
    within another (``training.given``), measured there. No gate looks at ``within``.
    """

    dataset: str
    window_start: datetime
    window_end: datetime
    rows: int
    users: int
    items: int
    requests: int
    bootstrap: Bootstrap
    models: tuple[ModelInfo, ...]
    tasks: dict[str, TaskResult]
    within: dict[str, WithinResult] = Field(default={})
    slices: tuple[SliceResult, ...]

    def model(self, name: str) -> ModelInfo | None:
        """The model called ``name``; None when it did not take part."""
        return next((model for model in self.models if model.name == name), None)

    def write(self, folder: Path) -> None:
        write_json(folder / METRICS_FILE, self.model_dump(mode="json"))

    @staticmethod
    def read(folder: Path) -> Results:
        """Read ``metrics.json`` of an evaluation folder.

        Raises:
            StorageError: it is missing or is not what evaluate writes.
        """
        path = folder / METRICS_FILE
        return parse(Results, read_json(path), where=str(path), what="an evaluation")
