"""Toy batches as Parquet files, the way the transform step writes them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from hemix.models.data.batch import Batch
from hemix.models.data.toy import toy_batch, toy_spec


def toy_table(batch: Batch, first: int = 0) -> pa.Table:
    """The rows of ``batch`` with keys; ``request_id`` counts from ``first``."""
    spec = toy_spec()
    numbers = np.arange(first, first + batch.size)
    columns: dict[str, object] = {
        "request_id": [str(n) for n in numbers],
        "event_time": pa.array(numbers * 1000).cast(pa.timestamp("ms", tz="UTC")),
    }
    columns |= {name: value.numpy() for name, value in (batch.ids | batch.numbers).items()}
    for sequence in spec.sequences:
        jagged = batch.lists[sequence.name]
        offsets = pa.array(jagged.offsets.numpy().astype(np.int32))
        for index, column in enumerate(sequence.columns):
            values = pa.array(jagged.values[index].numpy())
            columns[column.column] = pa.ListArray.from_arrays(offsets, values)
    for task in spec.tasks:
        columns[task.column] = batch.labels[task.name].numpy().astype(np.int8)
    return pa.table(columns)


def learnable_batch(*, rows: int, seed: int) -> Batch:
    """Toy rows whose clicks follow the item and the user's number, so that AUC means something."""
    batch = toy_batch(rows=rows, seed=seed)
    noise = torch.randn(rows, generator=torch.Generator().manual_seed(seed + 1))
    score = (batch.ids["item_id"] % 3 - 1) + batch.numbers["age"] + noise
    labels = {"click": (score > 0).float(), "long_view": (score > 1).float()}
    return Batch(size=rows, ids=batch.ids, numbers=batch.numbers, lists=batch.lists, labels=labels)


def write_splits(folder: Path, *, train: int = 200, validation: int = 80) -> Path:
    """Write ``train`` and ``validation`` of so many rows; the folder."""
    write_split(folder / "train", rows=train, seed=0)
    write_split(folder / "validation", rows=validation, seed=5)
    return folder


def write_split(
    folder: Path, *, rows: int, seed: int = 0, files: int = 2, group: int = 16
) -> pa.Table:
    """Write learnable rows as ``files`` files of row groups of ``group`` rows; return them all."""
    table = toy_table(learnable_batch(rows=rows, seed=seed))
    folder.mkdir(parents=True, exist_ok=True)
    cuts = np.linspace(0, rows, files + 1).astype(int)
    for index, (start, end) in enumerate(pairwise(cuts)):
        part = table.slice(start, end - start)
        pq.write_table(part, folder / f"part-{index}.parquet", row_group_size=group)
    return table
