"""Scores of model versions: the candidate on its transformed rows, the champion on raw examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hemix.components.evaluate.tables import batches, examples_dataset, inside, split_dataset
from hemix.errors import DataError, ModelVersionError
from hemix.features.served_as import examples_as_served, transformed_as_served
from hemix.features.split import Window
from hemix.features.transform import TransformGraph
from hemix.progress import progress

Scores = dict[str, NDArray[np.float32]]


def model_scores(
    model: Path, transformed: Path, split: str = "test", *, as_served: bool = True
) -> Scores:
    """Probabilities ``[B]`` per task of one split, read and scored in batches.

    Fields with a ``serve_as`` hold that value; with ``as_served=False`` they hold their own.
    """
    from hemix.models.versions.inference import Scorer, predict_table

    scorer = Scorer.load(model)
    served = served_rows(model) if as_served else _as_they_are
    data = split_dataset(transformed, split)
    parts = [
        predict_table(scorer, served(table))
        for table in _rows(batches(data), "evaluate: candidate", data.count_rows())
    ]
    return _join(parts, model)


def served_rows(model: Path) -> Callable[[pa.Table], pa.Table]:
    """How transformed rows of a version's transform are served: every ``serve_as`` in its place."""
    graph = TransformGraph.load(model / "transform")
    return partial(transformed_as_served, graph) if graph.definition.served_as else _as_they_are


def _as_they_are(table: pa.Table) -> pa.Table:
    return table


def champion_scores(champion: Path, examples: Path, window: Window, tasks: Sequence[str]) -> Scores:
    """Probabilities ``[B]`` per task of a window's raw examples, through the model's own transform.

    Fields with a ``serve_as`` in the champion's own definition hold that value.

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
        predict_table(scorer, graph.apply_table(examples_as_served(graph.definition, table)))
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
