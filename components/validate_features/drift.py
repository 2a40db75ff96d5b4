"""How far the training data moved away from what the champion was trained on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from hemix.features.definition import DatasetDefinition
from hemix.features.transform.columns import (
    day_may_hold,
    example_files,
    read_batches,
    split_windows,
)
from hemix.features.transform.drift_features import watched_features
from hemix.features.transform.graph import TransformGraph
from hemix.features.transform.statistics import Statistics, psi, statistics_of

ROWS = 40_000


def missing_inputs(graph: TransformGraph, examples: Path) -> list[str]:
    """Raw columns that the champion's transform needs and the new examples lack."""
    import pyarrow.parquet as pq

    names = set(pq.read_schema(example_files(examples)[0]).names)
    return [column.name for column in graph.plan.raw if column.name not in names]


def drift(
    definition: DatasetDefinition, examples: Path, champion_transform: Path, rows: int = ROWS
) -> pd.DataFrame:
    """A row a feature: ``psi`` of the new training split against the champion's, and ``gated_psi``.

    The new rows (about ``rows``, spread over the split) go through the champion's own transform, so
    that ids and buckets mean the same.
    """
    graph = TransformGraph.load(champion_transform)
    before = Statistics.read(champion_transform / "statistics.json")
    now = statistics_of(graph.spec, _sample(graph, definition, examples, rows))
    gated = watched_features(graph.definition) & watched_features(definition)
    table = []
    for name, histogram in before.features.items():
        value = psi(histogram, now.features[name])
        table.append((name, value, value if name in gated else 0.0))
    return pd.DataFrame(table, columns=["feature", "psi", "gated_psi"])


def _sample(
    graph: TransformGraph, definition: DatasetDefinition, examples: Path, rows: int
) -> list[pa.RecordBatch]:
    window = split_windows(definition)["train"]
    files = [file for file in example_files(examples) if day_may_hold(file, window)]
    result = []
    for file in files:
        for batch in read_batches(file, window, 1 << 14):
            keep = max(1, round(batch.num_rows * _share(files, rows)))
            pick = np.unique(np.linspace(0, batch.num_rows - 1, keep).astype(np.int64))
            table = graph.apply_table(pa.Table.from_batches([batch.take(pa.array(pick))]))
            result += table.combine_chunks().to_batches()
    return result


def _share(files: list[Path], rows: int) -> float:
    import pyarrow.parquet as pq

    total = sum(pq.read_metadata(file).num_rows for file in files)
    return min(1.0, rows / total) if total else 1.0
