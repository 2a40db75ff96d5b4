"""The split of the paper: 70 / 10 / 20 at random, every user with positives in each part.

Rows keep the features that they had at their time. Ids and scales are those of the run, fitted to
its training days. A model then learns from days after those on which it is judged: such figures are
for comparison with published ones alone.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.accuracy.data import RunData
from hemix.files import atomic_folder

PARTS = {"train": 0.7, "validation": 0.1, "test": 0.2}
GROUP = 16_384


def parts_of(
    users: NDArray[np.int64], labels: NDArray[np.float64], seed: int = 0
) -> NDArray[np.int64]:
    """Which part each row is in, 0 to 2 in the order of :data:`PARTS`; -1: in none ``[B]``.

    A user's rows of each label are dealt out by themselves, of the positives first one to each part;
    users with fewer than three positives are in none.
    """
    random = np.random.default_rng(seed)
    ends = np.cumsum([*PARTS.values()])[:-1]
    found = np.full(len(users), -1)
    order = np.lexsort((random.random(len(users)), labels, users))
    keys = np.stack([users[order], labels[order]], 1)
    cuts = np.flatnonzero((np.diff(keys, axis=0) != 0).any(1)) + 1
    enough = np.bincount(users, labels) >= len(PARTS)
    for rows in np.split(order, cuts):
        if not enough[users[rows[0]]]:
            continue
        places = (np.arange(len(rows)) + random.random()) / len(rows)
        found[rows] = np.searchsorted(ends, places, side="right")
        if labels[rows[0]] > 0:
            found[rows[: len(PARTS)]] = np.arange(len(PARTS))
    return found


def random_split(data: RunData, folder: Path) -> RunData:
    """``data`` with its rows split so, by the first task's label; written once under ``folder``."""
    place = folder / f"random-{data.digest}"
    if not place.exists():
        tables = [pq.read_table(data.transformed / split) for split in PARTS]
        table = pa.concat_tables(tables)
        users = np.unique(table["user_id"].to_numpy(zero_copy_only=False), return_inverse=True)[1]
        parts = parts_of(users, table[data.spec.tasks[0].column].to_numpy().astype(float))
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_folder(place) as temporary:
            for number, name in enumerate(PARTS):
                (temporary / name).mkdir(parents=True)
                rows = table.filter(pa.array(parts == number))
                pq.write_table(rows, temporary / name / "rows.parquet", row_group_size=GROUP)
    return RunData(place, data.transform)
