"""Scores of model versions: the candidate on its transformed rows, the champion on raw examples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hemix.components.evaluate.tables import batches, examples_dataset, inside, split_dataset
from hemix.errors import DataError, ModelVersionError
from hemix.features.split import Window
from hemix.features.transform import TransformGraph
from hemix.progress import progress

Scores = dict[str, NDArray[np.float32]]


def model_scores(model: Path, transformed: Path, split: str = "test") -> Scores:
    """Probabilities ``[B]`` a task of one split, read and scored in batches."""
    from hemix.models.versions.inference import Scorer, predict_table

    scorer = Scorer.load(model)
    data = split_dataset(transformed, split)
    parts = [
        predict_table(scorer, table)
        for table in _rows(batches(data), "evaluate: candidate", data.count_rows())
    ]
    return _join(parts, model)


def champion_scores(champion: Path, examples: Path, window: Window, tasks: Sequence[str]) -> Scores:
    """Probabilities ``[B]`` a task of a window's raw examples, through the model's own transform.

    Raises:
        DataError: the champion does not know one of ``tasks``.
    """
    from hemix.models.versions.inference import Scorer, predict_table

    scorer = Scorer.load(champion)
    if unknown := set(tasks) - {task.name for task in scorer.spec.tasks}:
        raise DataError(
            f"{champion}: the champion does not predict {sorted(unknown)}.",
            hint="Start a registry of its own for other tasks.",
        )
    graph = TransformGraph.load(champion / "transform")
    data = examples_dataset(examples)
    raw = batches(data, filter=inside(window))
    rows = data.count_rows(filter=inside(window))
    parts = [
        predict_table(scorer, graph.apply_table(table))
        for table in _rows(raw, "evaluate: champion", rows)
    ]
    return _join(parts, champion)


def _rows(tables: Iterable[pa.Table], label: str, rows: int) -> Iterable[pa.Table]:
    return progress(tables, f"{label}, rows", total=rows, size=lambda table: int(table.num_rows))


def _join(parts: list[Scores], model: Path) -> Scores:
    scores = {
        task: np.concatenate([part[task] for part in parts]).astype(np.float32) for task in parts[0]
    }
    for task, values in scores.items():
        if not np.isfinite(values).all():
            raise ModelVersionError(
                f"{model}: {int((~np.isfinite(values)).sum())} scores of {task} are not finite.",
                hint="Train again; the weights hold NaN or infinity.",
            )
    return scores
