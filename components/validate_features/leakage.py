"""Does one feature alone tell the label? Then it was made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from hemix.components.validate_features.profile import batches
from hemix.models.metrics.pointwise import auc
from hemix.spec import FeatureSpec

ROWS = 60_000
Floats = npt.NDArray[np.float64]


def single_feature_auc(spec: FeatureSpec, folder: Path, rows: int = ROWS) -> pd.DataFrame:
    """A row a feature, a column ``auc_<task>`` per task: AUC of that feature alone.

    Numbers rank as they are (in the better direction). Ids, buckets and the probes of a sequence
    (its length, its newest item and action, whether it holds the candidate) rank by their mean
    label, learned on every second row and measured on the others. Rows are spread over the split.
    """
    columns, labels = _columns(spec, folder, rows)
    result: dict[str, list[Any]] = {"feature": list(columns)}
    for task in spec.tasks:
        y = labels[task.column]
        result[f"auc_{task.name}"] = [_auc(x, y) for x in columns.values()]
    return pd.DataFrame(result)


def _columns(
    spec: FeatureSpec, folder: Path, rows: int
) -> tuple[dict[str, npt.NDArray[Any]], dict[str, npt.NDArray[Any]]]:
    parts: dict[str, list[npt.NDArray[Any]]] = {}
    names = [c.name for c in spec.categorical] + [n.name for n in spec.numeric]
    tasks = [t.column for t in spec.tasks]
    candidate = {c.vocabulary: c.name for c in spec.categorical}
    for batch in batches(folder):
        for name in (*names, *tasks):
            parts.setdefault(name, []).append(batch.column(name).to_numpy(zero_copy_only=False))
        for sequence in spec.sequences:
            for column in sequence.columns:
                array = batch.column(column.column)
                offsets = array.offsets.to_numpy().astype(np.int64)
                offsets -= offsets[0]
                values = array.flatten().to_numpy(zero_copy_only=False)
                lengths = np.diff(offsets)
                newest = np.zeros(batch.num_rows, np.int64)
                some = lengths > 0
                newest[some] = values[offsets[1:][some] - 1]
                parts.setdefault(f"newest {column.column}", []).append(newest)
                if column.role == "item_id":
                    parts.setdefault(f"{sequence.name}_length", []).append(lengths)
                    own = batch.column(candidate[column.vocabulary]).to_numpy()
                    same = values == np.repeat(own, lengths)
                    row = np.repeat(np.arange(batch.num_rows), lengths)
                    held = np.bincount(row[same], minlength=batch.num_rows)
                    parts.setdefault(f"{sequence.name} holds candidate", []).append(held)
    whole = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    total = len(whole[tasks[0]])
    pick = np.unique(np.linspace(0, total - 1, min(total, rows)).astype(np.int64))
    whole = {name: x[pick] for name, x in whole.items()}
    return {n: x for n, x in whole.items() if n not in tasks}, {t: whole[t] for t in tasks}


def _auc(x: npt.NDArray[Any], y: npt.NDArray[Any]) -> float:
    """AUC of one feature, at least 0.5; 0.5 where a half holds one class only."""
    if len(np.unique(y)) < 2:
        return 0.5
    if x.dtype.kind == "f":
        value = auc(y, x)
        return float(max(value, 1 - value))
    learn, rest = slice(0, None, 2), slice(1, None, 2)
    if len(np.unique(y[rest])) < 2:
        return 0.5
    _, ids = np.unique(x, return_inverse=True)
    size = int(ids.max()) + 1
    shown = np.bincount(ids[learn], minlength=size)
    positive = np.bincount(ids[learn], weights=y[learn], minlength=size)
    rate: Floats = (positive + y[learn].mean()) / (shown + 1.0)
    value = auc(y[rest], rate[ids[rest]])
    return float(max(value, 1 - value))
