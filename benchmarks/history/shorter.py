"""A finished run's transformed data with shorter histories, and with a share of its requests."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.accuracy.data import RunData
from hemix.spec import FeatureSpec

SPLITS = ("train", "validation", "test")


def last(lists: pa.ListArray, count: int) -> pa.ListArray:
    """The last ``count`` values of every list."""
    offsets = lists.offsets.to_numpy().astype(np.int64)
    lengths = np.minimum(np.diff(offsets), count)
    ends = np.concatenate([[0], np.cumsum(lengths)])
    index = np.arange(ends[-1]) + np.repeat(offsets[1:] - ends[1:], lengths)
    return pa.ListArray.from_arrays(
        pa.array(ends, lists.offsets.type), lists.values.take(pa.array(index))
    )


def kept(requests: np.ndarray, share: float) -> np.ndarray:
    """Which rows stay ``[B]``: those of a ``share`` of the requests, chosen by their hash."""
    if share >= 1:
        return np.ones(len(requests), dtype=bool)
    from pandas.util import hash_array

    return np.asarray(hash_array(requests) % 1_000_003 < share * 1_000_003)


def shorten(
    data: RunData, folder: Path, *, sequence: str, length: int, train_share: float = 1.0
) -> RunData:
    """``data`` with at most ``length`` events in ``sequence``, under ``folder`` unless it is there.

    ``train_share`` of the requests stay in the training split; validation and test stay whole.

    Raises:
        KeyError: there is no such sequence.
    """
    spec = shorter_spec(data.spec, sequence, length)
    columns = {column.column for s in spec.sequences if s.name == sequence for column in s.columns}
    whole = folder / f"{sequence}-{length}-{train_share:.4f}"
    if not (whole / "transform" / "definition.json").exists():
        shutil.rmtree(whole, ignore_errors=True)
        partial = whole.with_name(whole.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        for split in SPLITS:
            share = train_share if split == "train" else 1.0
            for path in sorted((data.transformed / split).rglob("*.parquet")):
                into = partial / "transformed" / split / path.name
                into.parent.mkdir(parents=True, exist_ok=True)
                _rewrite(path, into, columns, length, share)
        shutil.copytree(data.transform, partial / "transform")
        spec.write(partial / "transform" / "spec.json")
        partial.rename(whole)
    return replace(data, transformed=whole / "transformed", transform=whole / "transform")


def shorter_spec(spec: FeatureSpec, sequence: str, length: int) -> FeatureSpec:
    """The contract with ``max_length`` of ``sequence`` set to ``length``."""
    if sequence not in {s.name for s in spec.sequences}:
        raise KeyError(sequence)
    sequences = tuple(
        s.model_copy(update={"max_length": length}) if s.name == sequence else s
        for s in spec.sequences
    )
    return spec.model_copy(update={"sequences": sequences})


def mean_length(data: RunData, sequence: str) -> float:
    """Mean number of events of ``sequence`` in the training split."""
    column = next(s.columns[0].column for s in data.spec.sequences if s.name == sequence)
    events = rows = 0
    for path in sorted((data.transformed / "train").rglob("*.parquet")):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            lists = file.read_row_group(group, columns=[column])[column].combine_chunks()
            events += len(lists.flatten())
            rows += len(lists)
    return events / max(rows, 1)


def _rewrite(source: Path, target: Path, columns: set[str], length: int, share: float) -> None:
    """One file, row group by row group: memory holds one of them."""
    file = pq.ParquetFile(source)
    with pq.ParquetWriter(target, file.schema_arrow, compression="zstd") as writer:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            mask = kept(table["request_id"].to_numpy(zero_copy_only=False), share)
            table = table.filter(pa.array(mask))
            for name in columns & set(table.column_names):
                field = table.schema.field(name)
                lists = last(table[name].combine_chunks(), length).cast(field.type)
                table = table.set_column(table.schema.get_field_index(name), field, lists)
            writer.write_table(table)
