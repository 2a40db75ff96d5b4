"""Evaluate: score the test window with the candidate and its rivals, measure, write both."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hemix.components.evaluate.boosting import boosting_scores
from hemix.components.evaluate.features import look_at_features
from hemix.components.evaluate.measure import Sample, measure_slices, measure_task, measure_within
from hemix.components.evaluate.popularity import item_rates
from hemix.components.evaluate.results import (
    AS_LOGGED,
    BOOSTING,
    CANDIDATE,
    CHAMPION,
    POPULARITY,
    PREDICTIONS_FILE,
    Bootstrap,
    ModelInfo,
    Results,
    prediction_column,
    slice_column,
)
from hemix.components.evaluate.scoring import champion_scores, model_scores, served_rows
from hemix.components.evaluate.slices import slice_columns, slices_of
from hemix.components.evaluate.tables import KEYS, read_examples, read_split, require_same_rows
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import label_column
from hemix.features.split import Window
from hemix.files import atomic_folder
from hemix.models.metrics.bootstrap import UserBootstrap
from hemix.models.training.recipes import Recipe
from hemix.models.versions.version import read_manifest, verify
from hemix.progress import say
from hemix.spec import FeatureSpec

REPLICATES = 300
SEED = 20220501

Scores = dict[str, NDArray[np.float32]]


def run(
    *,
    definition: DatasetDefinition,
    model: Path,
    examples: Path,
    transformed: Path,
    champion: Path | None,
    out_evaluation: Path,
) -> None:
    """Measure ``model`` on the test window beside boosting, popularity and the champion.

    All are measured as they are served: fields with a ``serve_as`` hold that value. The candidate
    is measured with the log's own values too (``as_logged``).

    Args:
        definition: names slices and split times.
        model: model version folder of the candidate.
        examples: raw examples; the champion's own transform is applied to them.
        transformed: the candidate's transformed splits.
        champion: model version folder of the champion; None when there is none.
        out_evaluation: folder with ``metrics.json`` (:class:`Results`) and ``predictions.parquet``
            (keys, labels, slice columns, probabilities ``p_<model>_<task>``) and
            ``features.json`` (:class:`hemix.components.evaluate.features.Features`).

    Raises:
        DataError: a split is empty, examples and transformed rows differ, or the champion
            predicts other tasks.
        ModelVersionError: a model version is not what its manifest says, or scores are not finite.
    """
    labels_of = [label_column(task) for task in definition.tasks]
    test = read_split(transformed, "test", [*KEYS, *labels_of])
    window = definition.split.windows()["test"]
    raw = read_examples(examples, window, [*KEYS, *slice_columns(definition)])
    require_same_rows(raw, test, "test")
    say(f"evaluate: {test.num_rows} test rows of {window.start:%Y-%m-%d} to {window.end:%Y-%m-%d}")

    scores: dict[str, Scores] = {}
    infos: list[ModelInfo] = []

    def score(name: str, version: str, description: str, work: Callable[[], Scores]) -> None:
        start = time.monotonic()
        scores[name] = work()
        seconds = round(time.monotonic() - start, 1)
        infos.append(
            ModelInfo(name=name, version=version, description=description, seconds=seconds)
        )
        say(f"evaluate: {name} scored in {seconds} s")

    version, kind = _identity(model)
    score(CANDIDATE, version, kind, lambda: model_scores(model, transformed))
    if champion is not None:
        folder, (version, kind) = champion, _identity(champion)
        score(
            CHAMPION,
            version,
            kind,
            lambda: champion_scores(folder, examples, window, definition.tasks),
        )
    spec = FeatureSpec.read(model / "transform" / "spec.json")
    score(
        BOOSTING,
        "",
        "gradient boosting on the same features",
        lambda: boosting_scores(
            transformed=transformed, spec=spec, seed=SEED, served=served_rows(model)
        ),
    )
    if fixed := definition.served_as:
        told = ", ".join(fixed)
        score(
            AS_LOGGED,
            "",
            f"the candidate, told each row's own {told}: not what can be served",
            lambda: model_scores(model, transformed, as_served=False),
        )
    score(
        POPULARITY,
        "",
        "smoothed item rate in training",
        lambda: _popularity(definition, transformed, test),
    )

    results, slices = _measure(
        definition, window, test, raw, scores, tuple(infos), _given(model, definition.tasks)
    )
    features = look_at_features(definition, model, transformed, served_rows(model))
    with atomic_folder(out_evaluation) as folder:
        features.write(folder)
        pq.write_table(_predictions(test, slices, scores), folder / PREDICTIONS_FILE)
        results.write(folder)
    _tell(results)


def _identity(model: Path) -> tuple[str, str]:
    manifest = verify(model)
    return manifest.version, f"{manifest.ranker}, recipe {manifest.recipe}"


def _given(model: Path, tasks: Sequence[str]) -> dict[str, str]:
    """Tasks that the candidate learnt within others."""
    given = Recipe.parse(read_manifest(model).config).training.given
    return {task: parent for task, parent in given.items() if {task, parent} <= set(tasks)}


def _popularity(definition: DatasetDefinition, transformed: Path, test: pa.Table) -> Scores:
    columns = ["item_id", *(label_column(task) for task in definition.tasks)]
    seen = pa.concat_tables(
        [read_split(transformed, split, columns) for split in ("train", "validation")]
    )
    return {
        task: item_rates(seen["item_id"], seen[label_column(task)].to_numpy(), test["item_id"])
        for task in definition.tasks
    }


def _measure(
    definition: DatasetDefinition,
    window: Window,
    test: pa.Table,
    raw: pa.Table,
    scores: dict[str, Scores],
    infos: tuple[ModelInfo, ...],
    given: dict[str, str],
) -> tuple[Results, dict[str, NDArray[np.object_]]]:
    users = test["user_id"].to_numpy(zero_copy_only=False)
    requests = _codes(test["request_id"])
    draws = UserBootstrap.draw(users, replicates=REPLICATES, seed=SEED)
    sample = Sample(
        draws=draws,
        requests=requests,
        labels={task: test[label_column(task)].to_numpy() for task in definition.tasks},
        scores=scores,
    )
    slices = slices_of(definition, raw)
    results = Results(
        dataset=definition.name,
        window_start=window.start,
        window_end=window.end,
        rows=test.num_rows,
        users=int(draws.weights.shape[1]),
        items=int(_codes(test["item_id"]).max()) + 1,
        requests=int(requests.max()) + 1,
        bootstrap=Bootstrap(replicates=REPLICATES, seed=SEED, confidence=draws.confidence),
        models=infos,
        tasks={task: measure_task(sample, task) for task in definition.tasks},
        within=measure_within(sample, given),
        slices=measure_slices(sample, slices),
    )
    return results, slices


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    codes = column.combine_chunks().dictionary_encode().indices
    return codes.to_numpy(zero_copy_only=False).astype(np.int64)


def _predictions(
    test: pa.Table, slices: dict[str, NDArray[np.object_]], scores: dict[str, Scores]
) -> pa.Table:
    table = test
    for dimension, names in slices.items():
        table = table.append_column(slice_column(dimension), pa.array(names, pa.string()))
    for model, tasks in scores.items():
        for task, values in tasks.items():
            table = table.append_column(
                prediction_column(model, task), pa.array(values, pa.float32())
            )
    return table


def _tell(results: Results) -> None:
    named = dict(results.tasks)
    named |= {f"{t} where {w.given}": w.result for t, w in results.within.items()}
    for task, result in named.items():
        for info in results.models:
            auc = result.metrics[info.name]["auc"]
            if auc.value is None:
                say(f"evaluate: {task} {info.name} AUC undefined: {auc.note}")
            elif auc.low is None or auc.high is None:
                say(
                    f"evaluate: {task} {info.name} AUC {auc.value:.4f}, too few users for an interval"
                )
            else:
                say(
                    f"evaluate: {task} {info.name} AUC {auc.value:.4f} "
                    f"[{auc.low:.4f}, {auc.high:.4f}]"
                )
