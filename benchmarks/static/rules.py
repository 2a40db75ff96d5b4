"""What needs no training: whether the pair was seen, then how popular the item is.

Negatives of Frappe never hold an app that the user ever used, and seven of eight positives repeat a
pair of training, so this rule alone is far ahead of chance. Models differ above it.
"""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.accuracy.data import RunData
from benchmarks.static.frappe import TASK


def lookup(data: RunData, split: str) -> NDArray[np.float64]:
    """Scores ``[N]`` of a split's rows, in (0, 1): a seen pair is above every unseen one."""
    train = pq.read_table(data.transformed / "train", columns=["user", "item", f"label_{TASK}"])
    positive = train.filter(train[f"label_{TASK}"].to_numpy() > 0)
    rows = pq.read_table(data.transformed / split, columns=["user", "item"])
    items = positive["item"].to_numpy()
    size = data.spec.vocabulary("item").size
    popularity = np.bincount(items, minlength=size) / (len(items) + 1)
    seen = np.isin(_pairs(rows, size), _pairs(positive, size))
    scores: NDArray[np.float64] = (seen + popularity[rows["item"].to_numpy()]) / 2
    return scores


def _pairs(table: object, size: int) -> NDArray[np.int64]:
    user, item = (table[name].to_numpy().astype(np.int64) for name in ("user", "item"))  # type: ignore[index]
    pairs: NDArray[np.int64] = user * size + item
    return pairs
