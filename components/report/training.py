"""The training curves of ``curves.json``: loss by step, validation AUC by step, model size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from hemix.files import read_json

TASK_COLOURS = ("candidate", "champion", "boosting", "popularity")
LOG_LOSS = "bce"


@dataclass(frozen=True, kw_only=True)
class TrainingView:
    """Frames with ``step``, ``value``, ``series``; empty frames when nothing was logged.

    ``objective``: the terms that were minimised and their weights. ``loss`` is log loss in training and
    validation alike, whatever else was minimised, and has no training series where log loss was not.
    ``reader_wait``: share of the steps' time spent waiting for rows; None when it was not measured.
    """

    loss: pd.DataFrame
    auc: pd.DataFrame
    tasks: tuple[str, ...]
    objective: dict[str, float]
    parameters: int
    flops_per_sample: float
    seconds: float
    reader_wait: float | None
    steps: int
    best_step: int | None

    @property
    def minimised(self) -> str:
        """The terms of the objective, their weights where these are not 1: ``log loss + 0.3 ranknet``."""
        named = {("log loss" if k == LOG_LOSS else k): w for k, w in self.objective.items()}
        return " + ".join(name if w == 1 else f"{w:g} {name}" for name, w in named.items())


def read_training(curves: Path) -> TrainingView:
    """Read the folder (or file) that train wrote."""
    value = read_json(curves / "curves.json" if curves.is_dir() else curves)
    fit = [point for point in value["training"] if point.get("phase", "fit") == "fit"]
    validation = value["validation"]
    tasks = tuple(validation[0]["auc"]) if validation else ()
    objective = {str(k): float(v) for k, v in value.get("objective", {LOG_LOSS: 1.0}).items()}
    loss = [
        {
            "step": p["step"],
            "value": p.get("terms", {}).get(LOG_LOSS, p["loss"]),
            "series": "training",
        }
        for p in fit
        if LOG_LOSS in objective
    ]
    loss += [
        {"step": p["step"], "value": sum(p["logloss"].values()), "series": "validation"}
        for p in validation
    ]
    auc = [
        {"step": p["step"], "value": p["auc"][task], "series": task}
        for p in validation
        for task in tasks
    ]
    columns = ["step", "value", "series"]
    return TrainingView(
        loss=pd.DataFrame(loss, columns=columns),
        auc=pd.DataFrame(auc, columns=columns).dropna(),
        tasks=tasks,
        objective=objective,
        parameters=_total(value.get("parameters", 0)),
        flops_per_sample=float(_total(value.get("flops_per_sample", 0))),
        seconds=float(value.get("seconds", 0)),
        reader_wait=value.get("reader_wait"),
        steps=max((p["step"] for p in value["training"]), default=0),
        best_step=value["best"]["step"] if value.get("best") else None,
    )


def _total(value: Any) -> int:
    """A count, or the sum (or ``total``) of a mapping of counts."""
    if isinstance(value, dict):
        return int(value["total"] if "total" in value else sum(value.values()))
    return int(value)
