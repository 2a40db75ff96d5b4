"""What a model must beat: smoothed rates of a field's values or of two, and boosting."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.accuracy.data import Scores
from benchmarks.objectives.held_out import Judged, Splits
from hemix.components.evaluate.boosting import boosting_scores
from hemix.components.evaluate.scoring import OWN
from hemix.components.evaluate.shared import View
from hemix.features.shared_state.columns import own_columns
from hemix.features.shared_state.moments import Moments, rows_at
from hemix.features.shared_state.rows import SharedRows
from hemix.models.metrics import pointwise as metrics

SMOOTHING = 20.0
"""Impressions at the mean rate that every value begins with."""


def log_odds(
    train_ids: NDArray[np.int64], labels: NDArray[np.float64], ids: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Log odds ``[B]`` of the smoothed rates that the values ``ids [B]`` had in training."""
    size = int(max(train_ids.max(), ids.max())) + 1
    rows = np.bincount(train_ids, minlength=size)
    hits = np.bincount(train_ids, labels, minlength=size)
    rate = (hits + SMOOTHING * labels.mean()) / (rows + SMOOTHING)
    odds: NDArray[np.float64] = np.log(rate / (1 - rate))[ids]
    return odds


def rule(splits: Splits) -> tuple[Scores, dict[str, list[str]]]:
    """Test scores of the best field or pair of fields of item and context, chosen on validation.

    A pair's log odds are added and the mean's taken once. Fitted on training rows alone; no column
    is the user's, so rows as they are and rows on one state have one score.
    """
    spec = splits.data.spec
    fields = [f.name for f in spec.categorical if f.side != "user"]
    columns = [*fields, *(t.column for t in spec.tasks)]
    table = pq.read_table(splits.data.transformed / "train", columns=columns)
    train = {name: table[name].to_numpy() for name in columns}
    scores: Scores = {}
    chosen: dict[str, list[str]] = {}
    for task in spec.tasks:
        y = train[task.column].astype(float)
        mean = float(np.log(y.mean() / (1 - y.mean())))

        def of(
            judged: Judged, names: tuple[str, ...], y: NDArray[np.float64] = y, mean: float = mean
        ) -> NDArray[np.float64]:
            parts = [log_odds(train[n], y, judged.rows.ids[n].numpy()) - mean for n in names]
            return 1 / (1 + np.exp(-(sum(parts) + mean)))

        tried = [*((f,) for f in fields), *combinations(fields, 2)]
        held = splits.validation

        def score(names: tuple[str, ...], task: str = task.name) -> float:
            return float(metrics.gauc(held.labels[task], of(held, names), held.users))  # noqa: B023

        best = max(tried, key=score)
        chosen[task.name] = list(best)
        p = of(splits.test, best).astype(np.float32)
        scores |= {task.name: p, f"{task.name}/shared": p}
    return scores, chosen


def boosting(splits: Splits) -> Scores:
    """Test scores of evaluate's gradient boosting, of rows as they are and on one state."""
    data = splits.data
    view: View | None = data.personal_view("test")
    if view is None:
        names = ["user_id", "event_time", *own_columns(data.spec)]
        table = pq.read_table(data.transformed / "test", columns=list(dict.fromkeys(names)))
        moments = Moments.of(table["user_id"], table["event_time"])
        view = SharedRows.of(data.spec, rows_at([table], moments.first), moments, {})
    found = boosting_scores(transformed=data.transformed, spec=data.spec, views={"shared": view})
    shared = {f"{task}/shared": p for task, p in found["shared"].items()}
    return {**found[OWN], **shared}
