"""Scores of model versions: the candidate on its transformed rows, the champion on raw examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hemix.components.evaluate.shared import View, WindowRows
from hemix.components.evaluate.tables import batches, examples_dataset, inside, split_dataset
from hemix.errors import DataError, ModelVersionError
from hemix.features.served_as import examples_as_served, transformed_as_served
from hemix.features.split import Window
from hemix.features.transform import TransformGraph
from hemix.progress import progress

if TYPE_CHECKING:
    from hemix.models.versions.inference import Scorer

Scores = dict[str, NDArray[np.float32]]
"""Probabilities ``[B]`` per task."""
Viewed = dict[str, Scores]
"""Scores of the rows as they are (:data:`OWN`) and of each view of them."""
OWN = "own"


def model_scores(
    model: Path,
    transformed: Path,
    split: str = "test",
    *,
    as_served: bool = True,
) -> Scores:
    """Probabilities ``[B]`` per task of one split, read and scored in batches.

    Fields with a ``serve_as`` hold that value; with ``as_served=False`` they hold their own.
    """
    return candidate_scores(model, transformed, {}, split=split, as_served=as_served)[OWN]


def candidate_scores(
    model: Path,
    transformed: Path,
    views: Mapping[str, View],
    *,
    split: str = "test",
    as_served: bool = True,
) -> Viewed:
    """:func:`model_scores` of the rows and of each view of them, one scoring pass each.

    Args:
        model: model version folder.
        transformed: its transformed splits.
        views: what makes rows share the state of a moment.
        split: which rows.
        as_served: fields with a ``serve_as`` hold that value, else their own.
    """
    from hemix.models.versions.inference import Scorer

    scorer = Scorer.load(model)
    served = served_rows(model) if as_served else _as_they_are
    data = split_dataset(transformed, split)
    rows = progress_of(batches(data), "evaluate: candidate", data.count_rows())
    return _scored(scorer, rows, served, views, model)


def served_rows(model: Path) -> Callable[[pa.Table], pa.Table]:
    """How transformed rows of a version's transform are served: every ``serve_as`` in its place."""
    graph = TransformGraph.load(model / "transform")
    return partial(transformed_as_served, graph) if graph.definition.served_as else _as_they_are


def _as_they_are(table: pa.Table) -> pa.Table:
    return table


def champion_scores(
    champion: Path,
    examples: Path,
    window: Window,
    tasks: Sequence[str],
    rows: WindowRows | None = None,
) -> Viewed:
    """Probabilities ``[B]`` per task of a window's raw examples, through the model's own transform.

    Fields with a ``serve_as`` in the champion's own definition hold that value.

    Args:
        champion: model version folder.
        examples: raw examples.
        window: of which the rows are scored.
        tasks: those that it must know.
        rows: what its views of the rows are made of; None: the rows as they are alone.

    Raises:
        DataError: the champion does not know one of ``tasks``.
    """
    from hemix.models.versions.inference import Scorer

    scorer = Scorer.load(champion)
    if unknown := set(tasks) - {task.name for task in scorer.spec.tasks}:
        raise DataError(
            f"{champion}: the champion does not predict {sorted(unknown)}.",
            hint="Start a registry of its own for other tasks.",
        )
    graph = TransformGraph.load(champion / "transform")
    data = examples_dataset(examples)
    found = batches(data, filter=inside(window))
    raw = progress_of(found, "evaluate: champion", data.count_rows(filter=inside(window)))
    tables = (graph.apply_table(examples_as_served(graph.definition, table)) for table in raw)
    views = {} if rows is None else rows.champion_views(graph)
    return _scored(scorer, tables, _as_they_are, views, champion)


def progress_of(tables: Iterable[pa.Table], label: str, rows: int) -> Iterable[pa.Table]:
    """The tables, with how far they are."""
    return progress(tables, f"{label}, rows", total=rows, size=lambda table: int(table.num_rows))


def _scored(
    scorer: Scorer,
    tables: Iterable[pa.Table],
    served: Callable[[pa.Table], pa.Table],
    views: Mapping[str, View],
    model: Path,
) -> Viewed:
    from hemix.models.versions.inference import predict_table

    parts: dict[str, list[Scores]] = {OWN: [], **{kind: [] for kind in views}}
    start = 0
    for table in tables:
        parts[OWN].append(predict_table(scorer, served(table)))
        for kind, view in views.items():
            parts[kind].append(predict_table(scorer, served(view(table, start))))
        start += table.num_rows
    return {kind: _join(found, model) for kind, found in parts.items()}


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
