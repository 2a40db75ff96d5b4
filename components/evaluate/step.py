"""Evaluate: score the test window with the candidate and its rivals, measure, write both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hemix.components.evaluate.boosting import DESCRIPTION, boosting_scores
from hemix.components.evaluate.features import look_at_features
from hemix.components.evaluate.looked import look_inside, write_pictures
from hemix.components.evaluate.measure import Sample, measure_slices, measure_task, measure_within
from hemix.components.evaluate.popularity import popularity_scores
from hemix.components.evaluate.results import (
    AS_LOGGED,
    BOOSTING,
    CANDIDATE,
    CHAMPION,
    POPULARITY,
    PREDICTIONS_FILE,
    RULE,
    Bootstrap,
    Results,
    slice_column,
)
from hemix.components.evaluate.rule import rule_scores, told_rules
from hemix.components.evaluate.scored import Scored
from hemix.components.evaluate.scoring import (
    OWN,
    candidate_scores,
    champion_scores,
    served_rows,
)
from hemix.components.evaluate.shared import BY_USER, WindowRows, moments_of
from hemix.components.evaluate.slices import slice_columns, slices_of
from hemix.components.evaluate.tables import KEYS, read_examples, read_split, require_same_rows
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import label_column
from hemix.features.split import Window
from hemix.features.transform import TransformGraph
from hemix.files import atomic_folder
from hemix.models.metrics.bootstrap import UserBootstrap
from hemix.models.metrics.within_user import GAUC
from hemix.models.training.recipes import Recipe
from hemix.models.versions.version import read_manifest, verify
from hemix.progress import say

REPLICATES = 300
SEED = 20220501


def run(
    *,
    definition: DatasetDefinition,
    model: Path,
    events: Path,
    examples: Path,
    transformed: Path,
    champion: Path | None,
    out_evaluation: Path,
) -> None:
    """Measure ``model`` on the test window beside boosting, rule, popularity and the champion.

    Metrics within a user are of a second pass in which all of a user's rows have the state of the
    user of one moment, the first of them (:mod:`hemix.components.evaluate.shared`). All are measured as they are served: fields with a ``serve_as`` hold that value. The candidate
    is measured with the log's own values too (``as_logged``).

    Args:
        definition: names slices and split times.
        model: model version folder of the candidate.
        events: what ingest wrote; counters of pairs are counted in it as of that moment.
        examples: raw examples; the champion's own transform is applied to them.
        transformed: the candidate's transformed splits.
        champion: model version folder of the champion; None when there is none.
        out_evaluation: folder with ``metrics.json`` (:class:`Results`) and ``predictions.parquet``
            (keys, labels, slice columns, probabilities ``p_<model>_<task>``, and those of one state
            a user ``p_one_user_<model>_<task>``) and
            ``features.json`` (:class:`hemix.components.evaluate.features.Features`) and
            ``pictures.json`` (:mod:`hemix.components.evaluate.looked`).

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

    rows = WindowRows(examples=examples, events=events, window=window, moments=moments_of(test))
    graph = TransformGraph.load(model / "transform")
    views = rows.candidate_views(graph, transformed)
    scored = Scored(kinds=(BY_USER, *views))
    version, kind = _identity(model)
    scored.add(CANDIDATE, version, kind, lambda: candidate_scores(model, transformed, views))
    if champion is not None:
        folder, (version, kind) = champion, _identity(champion)
        scored.add(
            CHAMPION,
            version,
            kind,
            lambda: champion_scores(folder, examples, window, definition.tasks, rows),
        )
    spec = graph.spec
    scored.add(
        BOOSTING,
        "",
        DESCRIPTION,
        lambda: boosting_scores(
            transformed=transformed,
            spec=spec,
            seed=SEED,
            served=served_rows(model),
            views=views,
        ),
    )
    if fixed := definition.served_as:
        told = ", ".join(fixed)
        scored.add(
            AS_LOGGED,
            "",
            f"the candidate, told each row's own {told}: not what can be served",
            lambda: candidate_scores(model, transformed, views, as_served=False),
        )
    rules = rule_scores(transformed=transformed, spec=spec, served_as=definition.served_as)
    scored.add(
        RULE,
        "",
        f"smoothed rates in training, added up ({told_rules(rules)})",
        lambda: {OWN: {task: rule.scores for task, rule in rules.items()}},
    )
    scored.add(
        POPULARITY,
        "",
        "smoothed item rate in training",
        lambda: {OWN: popularity_scores(transformed, definition.tasks)},
    )

    results, slices = _measure(
        definition, window, test, raw, scored, _given(model, definition.tasks)
    )
    features = look_at_features(definition, model, transformed, served_rows(model))
    pictures = look_inside(model, transformed, served_rows(model))
    with atomic_folder(out_evaluation) as folder:
        features.write(folder)
        write_pictures(folder, pictures)
        pq.write_table(
            _predictions(test, slices, scored), folder / PREDICTIONS_FILE, compression="zstd"
        )
        results.write(folder)
    _tell(results)


def _identity(model: Path) -> tuple[str, str]:
    manifest = verify(model)
    return manifest.version, f"{manifest.ranker}, recipe {manifest.recipe}"


def _given(model: Path, tasks: Sequence[str]) -> dict[str, str]:
    """Tasks that the candidate learnt within others."""
    given = Recipe.parse(read_manifest(model).config).training.given
    return {task: parent for task, parent in given.items() if {task, parent} <= set(tasks)}


def _measure(
    definition: DatasetDefinition,
    window: Window,
    test: pa.Table,
    raw: pa.Table,
    scored: Scored,
    given: dict[str, str],
) -> tuple[Results, dict[str, NDArray[np.object_]]]:
    users = test["user_id"].to_numpy(zero_copy_only=False)
    requests = _codes(test["request_id"])
    draws = UserBootstrap.draw(users, replicates=REPLICATES, seed=SEED)
    sample = Sample(
        draws=draws,
        requests=requests,
        labels={task: test[label_column(task)].to_numpy() for task in definition.tasks},
        scores=scored.scores,
        shared=scored.shared,
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
        models=tuple(scored.infos),
        tasks={task: measure_task(sample, task) for task in definition.tasks},
        within=measure_within(sample, given),
        slices=measure_slices(sample, slices),
    )
    return results, slices


def _codes(column: pa.ChunkedArray) -> NDArray[np.int64]:
    codes = column.combine_chunks().dictionary_encode().indices
    return codes.to_numpy(zero_copy_only=False).astype(np.int64)


def _predictions(
    test: pa.Table, slices: dict[str, NDArray[np.object_]], scored: Scored
) -> pa.Table:
    table = test
    for dimension, names in slices.items():
        table = table.append_column(slice_column(dimension), pa.array(names, pa.string()))
    for name, values in scored.columns():
        table = table.append_column(name, pa.array(values, pa.float32()))
    return table


def _tell(results: Results) -> None:
    named = dict(results.tasks)
    named |= {f"{t} where {w.given}": w.result for t, w in results.within.items()}
    for task, result in named.items():
        for info in results.models:
            for key, name in (("auc", "AUC"), (GAUC, "GAUC")):
                found = result.metrics[info.name][key]
                if found.value is None:
                    told = f" undefined: {found.note}"
                elif found.low is None or found.high is None:
                    told = f" {found.value:.4f}, too few users for an interval"
                else:
                    told = f" {found.value:.4f} [{found.low:.4f}, {found.high:.4f}]"
                say(f"evaluate: {task} {info.name} {name}{told}")
