"""The rival everyone has: an item's smoothed positive rate over the training window."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SMOOTHING = 20.0
"""Pseudo-impressions at the overall rate; an unseen item scores the overall rate."""


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
