"""What a split of transformed data looks like, a row a column: ranges, coverage, unknown ids."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from hemix.errors import StorageError
from hemix.features.transform.statistics import Statistics
from hemix.spec import FeatureSpec

SPLITS = ("train", "validation", "test")
ROWS = 1 << 15


def batches(folder: Path) -> Iterator[pa.RecordBatch]:
    """Record batches of one split's folder.

    Raises:
        StorageError: a file is damaged; the message names it.
    """
    for file in sorted(folder.glob("*.parquet")):
        try:
            with pq.ParquetFile(file) as parquet:
                yield from parquet.iter_batches(ROWS)
        except (pa.ArrowException, OSError) as error:
            raise StorageError(
                f"{file}: cannot read ({error}).", hint="Run the transform step again."
            ) from error


def ranges(spec: FeatureSpec, folder: Path) -> pd.DataFrame:
    """A row a column: ``feature`` and how many of its values are ``outside``.

    Outside means: an id not in ``[0, size)``, a number that is not finite, a list longer than
    ``max_length`` or of another length than the lists beside it, a label that is not 0 or 1.
    """
    outside: dict[str, int] = {}

    def add(name: str, bad: Any) -> None:
        outside[name] = outside.get(name, 0) + int(np.count_nonzero(bad))

    sizes = {v.name: v.size for v in spec.vocabularies}
    ids = {c.name: sizes[c.vocabulary] for c in spec.categorical}
    ids |= {n.bucket: n.buckets for n in spec.numeric}
    for batch in batches(folder):
        for name, size in ids.items():
            x = batch.column(name).to_numpy(zero_copy_only=False)
            add(name, ~((x >= 0) & (x < size)))
        for number in spec.numeric:
            add(number.name, ~np.isfinite(batch.column(number.name).to_numpy(zero_copy_only=False)))
        for sequence in spec.sequences:
            lengths = _lengths(batch, sequence.columns[0].column)
            add(f"{sequence.name}_length", lengths > sequence.max_length)
            for column in sequence.columns:
                x = batch.column(column.column).flatten().to_numpy(zero_copy_only=False)
                add(column.column, ~((x >= 0) & (x < sizes[column.vocabulary])))
                add(f"{column.column} beside", _lengths(batch, column.column) != lengths)
        for task in spec.tasks:
            label = batch.column(task.column).to_numpy(zero_copy_only=False)
            add(task.column, ~np.isin(label, (0, 1)))
    return pd.DataFrame({"feature": list(outside), "outside": list(outside.values())})


def _lengths(batch: pa.RecordBatch, name: str) -> Any:
    return np.diff(batch.column(name).offsets.to_numpy())


def coverage(spec: FeatureSpec, statistics: Statistics, training: Statistics) -> pd.DataFrame:
    """A row a sequence: share of interactions where it is not empty, and that over training's."""
    rows = []
    for sequence in spec.sequences:
        name = f"{sequence.name}_length"
        share = 1 - statistics.features[name].missing
        usual = 1 - training.features[name].missing
        rows.append((sequence.name, share, share / usual if usual else 1.0))
    return pd.DataFrame(rows, columns=["feature", "non_empty_share", "of_training"])


def unknown(spec: FeatureSpec, statistics: Statistics, training: Statistics) -> pd.DataFrame:
    """A row an id column: share of hashed unknown ids here, and how much more than in training.

    ``gated_rise`` leaves out the columns of the keys' own vocabularies: new users and items are
    what a log brings; a declared attribute that is suddenly unknown is a broken source.
    """
    keys = {c.vocabulary for c in spec.categorical if c.name in ("user_id_index", "item_id_index")}
    columns = {c.name: c.vocabulary for c in spec.categorical}
    columns |= {c.column: c.vocabulary for s in spec.sequences for c in s.columns}
    rows = []
    for name, vocabulary in columns.items():
        share = statistics.features[name].unknown
        rise = share - training.features[name].unknown
        rows.append((name, share, rise, 0.0 if vocabulary in keys else rise))
    names = ["feature", "unknown_share", "rise", "gated_rise"]
    return pd.DataFrame(rows, columns=names)
