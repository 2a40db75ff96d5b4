"""A gradient boosting on the ranker's own features: what a good tabular model makes of them.

It sees every number (missing ones as missing), every low-cardinality id and the sequences' lengths.
The number of trees is the best one on the validation split; the model that scores is fitted again on
training and validation together, so it has seen the whole training window.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hemix.components.evaluate.scoring import OWN, Viewed
from hemix.components.evaluate.shared import View
from hemix.components.evaluate.tables import read_split
from hemix.models.metrics import pointwise as metrics
from hemix.progress import say
from hemix.spec import FeatureSpec

MOST_CATEGORIES = 254
"""The histogram's bins bound how many values a categorical feature may have."""
TREES = 300
STEP = 10
"""Validation is looked at every so many trees."""
PATIENCE = 4
THREADED_ROWS = 150_000
"""Below this, threads wait for each other longer than they work, most of all on shared cores."""

Features = NDArray[np.float32]


def feature_columns(spec: FeatureSpec) -> tuple[str, ...]:
    """Transformed columns that :func:`features_of` reads."""
    numbers = [name for n in spec.numeric for name in (n.name, n.bucket)]
    return tuple(dict.fromkeys((*numbers, *_categories(spec), *_lists(spec))))


def features_of(spec: FeatureSpec, table: pa.Table) -> Features:
    """Numbers (NaN where missing), category ids, then sequence lengths: float32 ``[B, F]``."""
    columns: list[NDArray[np.float32]] = []
    for number in spec.numeric:
        values = table[number.name].to_numpy().astype(np.float32)
        columns.append(np.where(table[number.bucket].to_numpy() == 0, np.nan, values))
    columns += [table[name].to_numpy().astype(np.float32) for name in _categories(spec)]
    columns += [
        pc.list_value_length(table[name]).to_numpy().astype(np.float32) for name in _lists(spec)
    ]
    return np.stack(columns, axis=1)


def _categories(spec: FeatureSpec) -> list[str]:
    return [
        c.name for c in spec.categorical if spec.vocabulary(c.vocabulary).size <= MOST_CATEGORIES
    ]


def _lists(spec: FeatureSpec) -> list[str]:
    return [sequence.columns[0].column for sequence in spec.sequences]


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

    columns = (*feature_columns(spec), *(task.column for task in spec.tasks))
    tables = {
        split: read_split(transformed, split, columns) for split in ("train", "validation", "test")
    }
    rows = tables.pop("test")
    asked = {OWN: rows, **{kind: view(rows, 0) for kind, view in views.items()}}
    tests = {kind: features_of(spec, served(table)) for kind, table in asked.items()}
    features = {split: features_of(spec, table) for split, table in tables.items()}
    both = np.concatenate([features["train"], features["validation"]])
    scores: Viewed = {kind: {} for kind in tests}
    with threadpool_limits(1 if len(both) < THREADED_ROWS else None, user_api="openmp"):
        for task in spec.tasks:
            train, validation = (
                tables[split][task.column].to_numpy() for split in ("train", "validation")
            )
            labels = np.concatenate([train, validation])
            if metrics.undefined(train):
                for kind in tests:
                    scores[kind][task.name] = np.full(rows.num_rows, labels.mean(), np.float32)
                continue
            trees = _best_trees(spec, features, train, validation, seed)
            model = _boosting(spec, trees, seed).fit(both, labels)
            for kind, test in tests.items():
                scores[kind][task.name] = model.predict_proba(test)[:, 1].astype(np.float32)
            say(f"evaluate: boosting of {task.name} fitted, {trees} trees on {len(labels)} rows")
    return scores


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
