"""The rival everyone has: an item's smoothed positive rate over the training window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hemix.components.evaluate.tables import read_split
from hemix.features.schema import label_column

SMOOTHING = 20.0
"""Pseudo-impressions at the overall rate; an unseen item scores the overall rate."""


def popularity_scores(transformed: Path, tasks: Sequence[str]) -> dict[str, NDArray[np.float32]]:
    """Scores ``[B]`` a task of the test split, by the rates of training and validation together."""
    labels = [label_column(task) for task in tasks]
    seen = pa.concat_tables(
        [read_split(transformed, split, ["item_id", *labels]) for split in ("train", "validation")]
    )
    asked = read_split(transformed, "test", ["item_id"])["item_id"]
    return {
        task: item_rates(seen["item_id"], seen[label].to_numpy(), asked)
        for task, label in zip(tasks, labels, strict=True)
    }


def item_rates(
    train_items: pa.ChunkedArray, train_labels: NDArray[np.int8], test_items: pa.ChunkedArray
) -> NDArray[np.float32]:
    """Score of each test row ``[B]``: ``(positives + SMOOTHING * rate) / (rows + SMOOTHING)``."""
    encoded = train_items.combine_chunks().dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    rows = np.bincount(codes, minlength=len(encoded.dictionary)).astype(np.float64)
    positives = np.bincount(codes, weights=train_labels, minlength=rows.size)
    overall = float(train_labels.mean())
    rates = np.append((positives + SMOOTHING * overall) / (rows + SMOOTHING), overall)
    where = pc.index_in(test_items.combine_chunks(), value_set=encoded.dictionary)
    found = pc.fill_null(where, rows.size).to_numpy(zero_copy_only=False)
    return rates[found].astype(np.float32)
