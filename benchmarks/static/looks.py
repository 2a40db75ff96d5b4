"""What is looked up in a trained ranker before its weights are gone: widths, rows of zeros."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.accuracy.data import RunData
from benchmarks.accuracy.training import Look
from hemix.models.rankers.base import Ranker
from hemix.models.training.recipes import Recipe
from hemix.models.versions.dimensions import narrow, of_trained


def fdo(ratio: float) -> str:
    """The key of a record that holds the widths at ``ratio``."""
    return f"fdo {ratio:g}"


def widths(data: RunData, ratio: float) -> Look:
    """Finds ``model.embedding.widths``: the vocabularies that need less than the common width."""

    def look(recipe: Recipe, ranker: Ranker) -> dict[str, int]:
        return narrow(recipe, of_trained(recipe, data.spec, ranker, ratio))

    return look


def zero_rows(data: RunData) -> Look:
    """Finds the share of rows of zeros among all rows of the tables of vectors, and among those
    whose ids are in the training split (``seen``).
    """

    def look(recipe: Recipe, ranker: Ranker) -> dict[str, float]:
        zero: list[NDArray[np.bool_]] = []
        seen: list[NDArray[np.bool_]] = []
        for name, table in ranker.embedding.tables.items():
            zero.append(~table.get_parameter("weight").detach().any(1).numpy())
            seen.append(np.isin(np.arange(len(zero[-1])), _ids(data, name)))
        is_zero, is_seen = np.concatenate(zero), np.concatenate(seen)
        return {"all": float(is_zero.mean()), "seen": float(is_zero[is_seen].mean())}

    return look


def _ids(data: RunData, vocabulary: str) -> NDArray[Any]:
    fields = [f.name for f in data.spec.categorical if f.vocabulary == vocabulary]
    rows = pq.read_table(data.transformed / "train", columns=fields)
    return np.unique(np.concatenate([rows[name].to_numpy() for name in fields]))
