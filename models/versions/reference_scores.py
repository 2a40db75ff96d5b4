"""Do exported weights say what the ranker in memory said? Its scores, kept beside the weights.

The ranker that was trained, still in memory, scores pairs of a request and a candidate of real rows,
every pair as a row of a plain batch. Whoever loads the version later scores the same pairs as
serving does, the request's side once, and compares: an export that lost or changed a weight, a
ranker whose split forward pass differs, and a loader that builds another shape all show.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from hemix.models.data.batch import Batch
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, Ranker
from hemix.models.versions.files import REFERENCE_SCORES
from hemix.models.versions.inference import predict_batch
from hemix.spec import FeatureSpec, Side

REQUESTS = 32
CANDIDATES = 16
SEED = 0


def pairs(rows: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers ``(request, item)``, int64 ``[P]`` each, of a split of ``rows`` rows.

    Requests are spread evenly; each has its own row's item first, then others drawn by a fixed seed.
    """
    requests = np.unique(np.linspace(0, rows - 1, min(REQUESTS, rows)).astype(np.int64))
    drawn = np.random.default_rng(SEED).integers(0, rows, (len(requests), CANDIDATES))
    drawn[:, 0] = requests
    return np.repeat(requests, CANDIDATES), drawn.ravel()


def eager_scores(ranker: Ranker, table: pa.Table) -> pa.Table:
    """What ``ranker`` says of the pairs of ``table``, rows of ``transformed/``.

    Columns ``request`` and ``item`` (int64, row numbers) and ``p_<task>`` (float32).
    """
    requests, items = pairs(table.num_rows)
    batch = Batch.from_table(ranker.spec, table)
    pair = _side(batch, ranker.spec, REQUEST_SIDES, requests).beside(
        _side(batch, ranker.spec, ITEM_SIDES, items)
    )
    scores = predict_batch(ranker, pair)
    return pa.table(
        {"request": requests, "item": items}
        | {column_of(task): values.astype(np.float32) for task, values in scores.items()}
    )


def column_of(task: str) -> str:
    """Name of a task's column in :data:`REFERENCE_SCORES`."""
    return f"p_{task}"


def read_eager(folder: Path) -> pa.Table | None:
    """The scores in a version folder; None when it was written without."""
    path = folder / REFERENCE_SCORES
    return pq.read_table(path) if path.is_file() else None


def _side(
    batch: Batch, spec: FeatureSpec, sides: Collection[Side], rows: NDArray[np.int64]
) -> Batch:
    ids = {f.name for f in spec.categorical if f.side in sides}
    numbers = {f.name for f in spec.numeric if f.side in sides}
    ids |= {f.bucket for f in spec.numeric if f.side in sides}
    return Batch(
        size=batch.size,
        ids={name: value for name, value in batch.ids.items() if name in ids},
        numbers={name: value for name, value in batch.numbers.items() if name in numbers},
        lists=batch.lists if "user" in sides else {},
        labels={},
    ).take(torch.from_numpy(rows))
