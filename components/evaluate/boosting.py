"""A gradient boosting on the ranker's own features: what a good tabular model makes of them.

It sees every number (missing ones as missing; counters and how long ago are numbers) and every id of
few values. Of each sequence it sees the length, the age of the last event, and for each field of the
candidate that events have too: how many events have the candidate's value, how many events ago the
latest did, and the age of that one. Items that training did not know are told apart there as far as the
vocabulary's hash buckets do.

What it does not see is all else of the events, and ids of many values: hashed into as many categories as
its histograms have bins they cost it more than they gave (on KuaiRand-Pure, test AUC of click .721
instead of .737).

The number of trees is the best one on the validation split; the model that scores is fitted again on
training and validation together, so it has seen the whole training window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hemix.components.evaluate.scoring import OWN, Viewed
from hemix.components.evaluate.shared import View
from hemix.components.evaluate.tables import batches, read_split, split_dataset
from hemix.features.transform_plan import GAP
from hemix.models.metrics import pointwise as metrics
from hemix.progress import say
from hemix.spec import CategoricalFeature, FeatureSpec, SequenceColumn, SequenceFeature

MOST_CATEGORIES = 254
"""The histogram's bins bound how many values a categorical feature may have."""
TREES = 300
STEP = 10
"""Validation is looked at every so many trees."""
PATIENCE = 4
FITTED = ("train", "validation")
THREADED_ROWS = 150_000
"""Below this, threads wait for each other longer than they work, most of all on shared cores."""

DESCRIPTION = (
    "gradient boosting on the same features: numbers, ids of at most 254 values, and of each sequence "
    "its length, the age of its last event, and how many events, and how lately, were of the "
    "candidate's item or attributes; it lacks the ids of more values and all else of the events"
)
"""What it is, as the report says it."""
Features = NDArray[np.float32]


def feature_columns(spec: FeatureSpec) -> tuple[str, ...]:
    """Transformed columns that :func:`features_of` reads."""
    numbers = [name for n in spec.numeric for name in (n.name, n.bucket)]
    ids = [c.name for c in _categories(spec)] + [f.name for f, _ in _all_matched(spec)]
    lists = [c.column for sequence in spec.sequences for c in _looked_at(spec, sequence)]
    return tuple(dict.fromkeys((*numbers, *ids, *lists)))


def features_of(spec: FeatureSpec, table: pa.Table) -> Features:
    """Numbers (NaN where missing), ids, then what is seen of the sequences: float32 ``[B, F]``."""
    columns: list[NDArray[Any]] = []
    for number in spec.numeric:
        values = table[number.name].to_numpy().astype(np.float32)
        columns.append(np.where(table[number.bucket].to_numpy() == 0, np.nan, values))
    columns += [table[field.name].to_numpy() for field in _categories(spec)]
    for sequence in spec.sequences:
        columns += _of_sequence(spec, sequence, table)
    return np.stack([column.astype(np.float32) for column in columns], axis=1)


def _categories(spec: FeatureSpec) -> list[CategoricalFeature]:
    return [c for c in spec.categorical if spec.vocabulary(c.vocabulary).size <= MOST_CATEGORIES]


def _all_matched(spec: FeatureSpec) -> list[tuple[CategoricalFeature, SequenceColumn]]:
    return [pair for sequence in spec.sequences for pair in _matched(spec, sequence)]


def _matched(
    spec: FeatureSpec, sequence: SequenceFeature
) -> list[tuple[CategoricalFeature, SequenceColumn]]:
    """The candidate's fields that the events have too: of one vocabulary."""
    return [
        (field, column)
        for field in spec.categorical
        if field.side == "item"
        for column in sequence.columns
        if column.vocabulary == field.vocabulary
    ]


def _gap(sequence: SequenceFeature) -> SequenceColumn | None:
    return next((c for c in sequence.columns if c.role == GAP), None)


def _looked_at(spec: FeatureSpec, sequence: SequenceFeature) -> list[SequenceColumn]:
    gap = _gap(sequence)
    matched = [column for _, column in _matched(spec, sequence)]
    return [sequence.columns[0], *matched, *([gap] if gap else [])]


def _of_sequence(
    spec: FeatureSpec, sequence: SequenceFeature, table: pa.Table
) -> list[NDArray[np.float32]]:
    """Length, age of the last event; a match: count, events since the latest, its age; ``[B]`` each."""
    first, _ = _flat(table[sequence.columns[0].column])
    starts, ends = first[:-1], first[1:]
    owners = np.repeat(np.arange(len(starts)), ends - starts)
    gap = _gap(sequence)
    ages = None if gap is None else _flat(table[gap.column])[1]

    def age(events: NDArray[np.int64]) -> NDArray[np.float32]:
        found = np.full(len(events), np.nan, np.float32)
        there = events >= 0
        if ages is not None:
            found[there] = ages[events[there]]
        return found

    last = np.where(ends > starts, ends - 1, -1)
    columns = [(ends - starts).astype(np.float32), age(last)]
    for field, column in _matched(spec, sequence):
        _, values = _flat(table[column.column])
        mine = table[field.name].to_numpy().astype(np.int64)[owners]
        same = np.flatnonzero((values == mine) & (values != 0))
        latest = np.full(len(starts), -1, np.int64)
        latest[owners[same]] = same  # ascending: the last one stays
        ago = np.where(latest >= 0, last - latest, np.nan)
        count = np.bincount(owners[same], minlength=len(starts))
        columns += [count.astype(np.float32), ago.astype(np.float32), age(latest)]
    return columns


def _flat(column: pa.ChunkedArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Offsets ``[B + 1]`` and values of a list column."""
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = pc.list_flatten(column)
    return offsets, values.to_numpy().astype(np.int64)


def boosting_scores(
    *,
    transformed: Path,
    spec: FeatureSpec,
    seed: int = 0,
    served: Callable[[pa.Table], pa.Table] = lambda table: table,
    views: Mapping[str, View] = MappingProxyType({}),
) -> Viewed:
    """Fit on ``train/`` and ``validation/``; probability of each ``test/`` row a task ``[B]``.

    A task whose training labels hold one class is scored with its rate.

    Args:
        transformed: the three splits.
        spec: their contract.
        seed: of the trees.
        served: makes the test rows what they are when served.
        views: what makes them share the state of a moment; each is scored beside the rows as they are.
    """
    import sklearn.ensemble  # noqa: F401  (loads OpenMP, which threadpool_limits must find)
    from threadpoolctl import threadpool_limits

    labels_of = [task.column for task in spec.tasks]
    asked: dict[str, View] = {OWN: _as_they_are, **views}
    tests = _split_features(spec, transformed, "test", asked, served)
    features = {
        split: _split_features(spec, transformed, split, {OWN: _as_they_are})[OWN]
        for split in FITTED
    }
    unknown = np.isnan(features["train"]).all(axis=0)
    for values in (*features.values(), *tests.values()):
        values[:, unknown] = 0  # nothing can be learnt of it, and no bins be made
    tables = {split: read_split(transformed, split, labels_of) for split in FITTED}
    both = np.concatenate([features["train"], features["validation"]])
    scores: Viewed = {kind: {} for kind in tests}
    with threadpool_limits(1 if len(both) < THREADED_ROWS else None, user_api="openmp"):
        for task in spec.tasks:
            train, validation = (tables[split][task.column].to_numpy() for split in FITTED)
            labels = np.concatenate([train, validation])
            if metrics.undefined(train):
                for kind in tests:
                    scores[kind][task.name] = np.full(len(tests[kind]), labels.mean(), np.float32)
                continue
            trees = _best_trees(spec, features, train, validation, seed)
            model = _boosting(spec, trees, seed).fit(both, labels)
            for kind, test in tests.items():
                scores[kind][task.name] = model.predict_proba(test)[:, 1].astype(np.float32)
            say(f"evaluate: boosting of {task.name} fitted, {trees} trees on {len(labels)} rows")
    return scores


def _as_they_are(rows: pa.Table, _: int) -> pa.Table:
    return rows


def _split_features(
    spec: FeatureSpec,
    transformed: Path,
    split: str,
    views: Mapping[str, View],
    served: Callable[[pa.Table], pa.Table] = lambda table: table,
) -> dict[str, Features]:
    """Features of each view of a split, made of some thousand rows of sequences at a time."""
    found: dict[str, list[Features]] = {kind: [] for kind in views}
    start = 0
    for rows in batches(split_dataset(transformed, split), list(feature_columns(spec))):
        for kind, view in views.items():
            found[kind].append(features_of(spec, served(view(rows, start))))
        start += rows.num_rows
    return {kind: np.concatenate(parts) for kind, parts in found.items()}


def _best_trees(
    spec: FeatureSpec,
    features: dict[str, Features],
    train: NDArray[np.int8],
    validation: NDArray[np.int8],
    seed: int,
) -> int:
    """Grow until validation has not gained for :data:`PATIENCE` looks; the best number of trees."""
    model = _boosting(spec, STEP, seed).set_params(warm_start=True)
    best, best_loss = STEP, np.inf
    for trees in range(STEP, TREES + 1, STEP):
        model.set_params(max_iter=trees).fit(features["train"], train)
        loss = metrics.logloss(validation, model.predict_proba(features["validation"])[:, 1])
        if loss < best_loss:
            best, best_loss = trees, loss
        elif trees - best >= PATIENCE * STEP:
            break
    return best


def _boosting(spec: FeatureSpec, trees: int, seed: int):  # type: ignore[no-untyped-def]
    from sklearn.ensemble import HistGradientBoostingClassifier

    numbers, categories = len(spec.numeric), len(_categories(spec))
    return HistGradientBoostingClassifier(
        max_iter=trees,
        learning_rate=0.06,
        max_leaf_nodes=15,
        min_samples_leaf=200,
        l2_regularization=10.0,
        categorical_features=list(range(numbers, numbers + categories)),
        early_stopping=False,
        random_state=seed,
    )
