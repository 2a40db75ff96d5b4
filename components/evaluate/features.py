"""Every feature on its own: how it is distributed in each split, what is missing, how it drifted, and
what the model loses without it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hemix.components.evaluate.feature_facts import FeatureFacts, Features, Importance
from hemix.components.evaluate.results import Interval
from hemix.components.evaluate.tables import split_dataset
from hemix.features.definition import DatasetDefinition
from hemix.features.transform.statistics import Statistics, psi, statistics_of_files
from hemix.features.transform_plan import rate_name
from hemix.models.metrics.bootstrap import Estimate, UserBootstrap
from hemix.models.versions.inference import Scorer, predict_table
from hemix.progress import progress
from hemix.spec import FeatureSpec

SPLITS = ("train", "validation", "test")
SAMPLE = 2_000
"""Test rows that are scored again with a group of features shuffled."""
REPLICATES = 200
SEED = 20220502


def look_at_features(
    definition: DatasetDefinition,
    model: Path,
    transformed: Path,
    served: Callable[[pa.Table], pa.Table],
) -> Features:
    """Facts of every feature of ``model``, and the importance of every group of them.

    Args:
        definition: says which columns belong together.
        model: model version folder.
        transformed: its transformed splits.
        served: makes rows what they are when served.
    """
    spec = FeatureSpec.read(model / "transform" / "spec.json")
    splits = {
        "train": Statistics.read(model / "transform" / "statistics.json"),
        **{split: statistics_of_files(spec, transformed / split) for split in SPLITS[1:]},
    }
    shown = [*(c.name for c in spec.categorical), *(n.name for n in spec.numeric)]
    shown += [f"{sequence.name}_length" for sequence in spec.sequences]
    facts = [
        FeatureFacts(
            name=name,
            histograms={split: found.features[name] for split, found in splits.items()},
            drift={
                split: psi(splits["train"].features[name], splits[split].features[name])
                for split in SPLITS[1:]
            },
        )
        for name in shown
        if all(name in found.features for found in splits.values())
    ]
    task = spec.tasks[0]
    rows = served(_sample(transformed))
    return Features(
        task=task.name,
        rows=rows.num_rows,
        features=tuple(facts),
        importances=_importances(definition, spec, Scorer.load(model), rows),
    )


def groups_of(definition: DatasetDefinition, spec: FeatureSpec) -> dict[str, tuple[str, ...]]:
    """``group -> transformed columns``: a field, the counters of one key with their rates, the
    statistics of one number, a match, a sequence."""
    groups: dict[str, list[str]] = {}
    for field in spec.categorical:
        groups.setdefault(field.name.removesuffix("_index"), []).append(field.name)
    together = {
        name: f"counters of {counter.prefix}"
        for counter in definition.counters
        for name in counter.columns(definition.tasks)
    }
    together |= {
        name: f"{made.of} within the request"
        for made in definition.within_request
        for name in made.columns
    }
    together |= {
        rate_name(definition, counter, task, window): f"counters of {counter.prefix}"
        for counter in definition.counters
        for task in definition.tasks
        for window in counter.windows
    }
    together |= {
        rate.column(window): f"rates of {rate.prefix}"
        for rate in definition.rates
        for window in rate.windows_of(definition.counters, definition.tasks)
    }
    for number in spec.numeric:
        name = number.name.removesuffix("_scaled")
        group = together.get(name, name)
        groups.setdefault(group, []).extend((number.name, number.bucket))
    for sequence in spec.sequences:
        groups[f"{sequence.name} sequence"] = [column.column for column in sequence.columns]
    return {group: tuple(columns) for group, columns in groups.items()}


def _sample(transformed: Path) -> pa.Table:
    data = split_dataset(transformed, "test")
    count = data.count_rows()
    if count <= SAMPLE:
        return data.to_table()
    chosen = np.random.default_rng(SEED).choice(count, SAMPLE, replace=False)
    return data.take(pa.array(np.sort(chosen)))


def _importances(
    definition: DatasetDefinition, spec: FeatureSpec, scorer: Scorer, rows: pa.Table
) -> tuple[Importance, ...]:
    task = spec.tasks[0]
    labels: NDArray[np.int8] = rows[task.column].to_numpy()
    users = rows["user_id"].to_numpy(zero_copy_only=False)
    draws = UserBootstrap.draw(users, replicates=REPLICATES, seed=SEED)

    def auc(table: pa.Table) -> Estimate:
        return draws.metric("auc", labels, predict_table(scorer, table)[task.name])

    whole = auc(rows)
    shuffle = pa.array(np.random.default_rng(SEED).permutation(rows.num_rows))
    found = []
    groups = list(groups_of(definition, spec).items())
    for group, columns in progress(groups, "evaluate: features shuffled"):
        table = rows
        for name in columns:
            at = table.column_names.index(name)
            table = table.set_column(at, table.schema.field(name), table[name].take(shuffle))
        loss = Interval.of(draws.difference(whole, auc(table)), "one class in the sample")
        found.append(Importance(group=group, features=columns, loss=loss))
    return tuple(sorted(found, key=lambda i: -(i.loss.value or 0.0)))
