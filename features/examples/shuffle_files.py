"""Shuffled rows wait in files, not in the runner's memory: groups carry references to them.

Every worker must see the scratch folder, as it must see the output. A reference is read through a
memory map, so that a group costs the memory of its own rows only.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints
from hemix.files import atomic_file

Reference = tuple[str, int]
"""File name in the scratch folder, and the number of a record batch in it."""


def write(scratch: Path, batches: Sequence[pa.RecordBatch]) -> list[Reference]:
    """Write record batches of one schema to a new file; a reference for each.

    Raises:
        StorageError: the disk is full or not writable.
    """
    name = f"{uuid.uuid4().hex}.arrow"
    options = pa.ipc.IpcWriteOptions(unify_dictionaries=True)
    with (
        atomic_file(scratch / name, durable=False) as path,
        pa.OSFile(str(path), "wb") as sink,
        pa.ipc.new_file(sink, batches[0].schema, options=options) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)
    return [(name, number) for number in range(len(batches))]


def read(scratch: Path, reference: Reference) -> pa.RecordBatch:
    """The rows of a reference, memory-mapped."""
    name, number = reference
    return pa.ipc.open_file(pa.memory_map(str(scratch / name))).get_batch(number)


def read_all(scratch: Path, references: Iterable[Reference], schema: pa.Schema) -> pa.Table:
    """The rows of many references in one table; in the order of the references."""
    batches = [read(scratch, reference) for reference in references]
    return pa.Table.from_batches(batches, schema=schema).combine_chunks()


def scatter(scratch: Path, table: pa.Table, parts: Ints) -> Iterator[tuple[int, Reference]]:
    """Write a table split by ``parts`` ``[rows]``; the part and the reference of each piece."""
    if not table.num_rows:
        return
    order = np.argsort(parts, kind="stable")
    ordered = table.take(pa.array(order)).combine_chunks()
    numbers, starts = np.unique(parts[order], return_index=True)
    ends = [*starts[1:], len(parts)]
    (batch,) = ordered.to_batches()
    pieces = [batch.slice(start, end - start) for start, end in zip(starts, ends, strict=True)]
    for number, reference in zip(numbers, write(scratch, pieces), strict=True):
        yield int(number), reference
