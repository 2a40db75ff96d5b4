"""Histograms of transformed data, and how far two of them have drifted apart.

Population stability index over bins i with shares p_i, q_i: ``sum (p_i - q_i) ln(p_i / q_i)``
(Siddiqi, Credit Risk Scorecards, 2006); below 0.1 is stable, above 0.25 a real shift.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hemix.files import read_json, write_json
from hemix.spec import FeatureSpec
from hemix.texts.frozen import Frozen, parse

REST = "rest"
TOP = 50
LENGTH_EDGES = (0, 1, 3, 6, 11, 21, 51, 101, 201, 501)


class Histogram(Frozen):
    """Counts of one feature's bins.

    ``ids``: bins are ids (``0`` missing, ``1..`` hash buckets), the most frequent, and ``rest``.
    ``number``: bins are quantile buckets; ``quantiles`` are the 0, 10, ... 100 % of scaled values.
    ``length``: bins are lower edges of sequence lengths; ``missing`` is the share of empty ones.
    """

    kind: Literal["ids", "number", "length"]
    bins: tuple[str, ...]
    counts: tuple[int, ...]
    missing: float
    unknown: float = 0.0
    quantiles: tuple[float, ...] = ()

    @property
    def total(self) -> int:
        return sum(self.counts)


class Statistics(Frozen):
    """Histograms of a split by feature: columns, and ``<sequence>_length`` of sequences."""

    rows: int
    features: dict[str, Histogram]

    def write(self, path: Path) -> None:
        write_json(path, self.model_dump(mode="json"))

    @staticmethod
    def read(path: Path) -> Statistics:
        """Read ``statistics.json``.

        Raises:
            StorageError: it is missing or holds something else.
        """
        return parse(Statistics, read_json(path), where=str(path), what="statistics of features")


def psi(a: Histogram, b: Histogram) -> float:
    """Population stability index of two histograms of one feature; 0 when both are empty.

    Bins that only one of them has count as ``rest``; half a count is added to each bin so that an
    empty bin is not infinitely far.
    """
    common = (set(a.bins) & set(b.bins)) - {REST}
    if not a.total and not b.total:
        return 0.0
    shares = []
    for histogram in (a, b):
        counts: Counter[str] = Counter()
        for name, count in zip(histogram.bins, histogram.counts, strict=True):
            counts[name if name in common else REST] += count
        names = [*sorted(common), REST]
        total = histogram.total + 0.5 * len(names)
        shares.append([(counts[name] + 0.5) / total for name in names])
    return sum((p - q) * math.log(p / q) for p, q in zip(*shares, strict=True))


class _Counts:
    """Running counts of one feature over batches."""

    def __init__(self) -> None:
        self.ids = np.zeros(0, np.int64)
        self.scaled: list[npt.NDArray[np.float32]] = []

    def add(self, ids: npt.NDArray[np.int64]) -> None:
        found = np.bincount(ids, minlength=len(self.ids))
        found[: len(self.ids)] += self.ids
        self.ids = found


def statistics_of(spec: FeatureSpec, batches: Iterable[pa.RecordBatch]) -> Statistics:
    """Histograms of transformed record batches."""
    counts: dict[str, _Counts] = {}
    rows = 0
    numbers = {n.bucket: n.name for n in spec.numeric}
    lists = {c.column: c.vocabulary for s in spec.sequences for c in s.columns}
    flat = {c.name: c.vocabulary for c in spec.categorical}
    for batch in batches:
        rows += batch.num_rows
        for name in (*flat, *numbers):
            counts.setdefault(name, _Counts()).add(batch.column(name).to_numpy())
        for bucket, name in numbers.items():
            counts[bucket].scaled.append(batch.column(name).to_numpy())
        for sequence in spec.sequences:
            first = batch.column(sequence.columns[0].column)
            lengths = np.diff(first.offsets.to_numpy())
            counts.setdefault(f"{sequence.name}_length", _Counts()).add(lengths)
        for name in lists:
            counts.setdefault(name, _Counts()).add(batch.column(name).flatten().to_numpy())
    features: dict[str, Histogram] = {}
    for name, vocabulary in (flat | lists).items():
        features[name] = _ids(_of(counts, name), spec.vocabulary(vocabulary).oov_buckets)
    for bucket, name in numbers.items():
        features[name] = _number(_of(counts, bucket))
    for sequence in spec.sequences:
        features[f"{sequence.name}_length"] = _length(_of(counts, f"{sequence.name}_length").ids)
    return Statistics(rows=rows, features=features)


def _of(counts: Mapping[str, _Counts], name: str) -> _Counts:
    return counts.get(name, _Counts())


def _share(part: float, total: float) -> float:
    return float(part / total) if total else 0.0


def _ids(counts: _Counts, oov_buckets: int) -> Histogram:
    ids = counts.ids
    total = int(ids.sum())
    order = np.argsort(-ids, kind="stable")[:TOP]
    top = [int(i) for i in order if ids[i]]
    rest = total - int(ids[top].sum())
    return Histogram(
        kind="ids",
        bins=(*map(str, top), REST),
        counts=(*(int(ids[i]) for i in top), rest),
        missing=_share(ids[:1].sum(), total),
        unknown=_share(ids[1 : 1 + oov_buckets].sum(), total),
    )


def _number(counts: _Counts) -> Histogram:
    scaled = np.concatenate(counts.scaled) if counts.scaled else np.zeros(0, np.float32)
    points = np.quantile(scaled, np.linspace(0, 1, 11)) if len(scaled) else np.zeros(0)
    return Histogram(
        kind="number",
        bins=tuple(map(str, range(len(counts.ids)))),
        counts=tuple(map(int, counts.ids)),
        missing=_share(counts.ids[:1].sum(), counts.ids.sum()),
        quantiles=tuple(round(float(p), 6) for p in points),
    )


def _length(lengths: npt.NDArray[np.int64]) -> Histogram:
    bins = np.searchsorted(LENGTH_EDGES, np.arange(len(lengths)), side="right") - 1
    counts = np.bincount(bins, weights=lengths, minlength=len(LENGTH_EDGES)).astype(int)
    return Histogram(
        kind="length",
        bins=tuple(map(str, LENGTH_EDGES)),
        counts=tuple(map(int, counts)),
        missing=_share(lengths[:1].sum(), lengths.sum()),
    )


def statistics_of_files(spec: FeatureSpec, folder: Path, rows: int = 1 << 15) -> Statistics:
    """Histograms of one split's folder of transformed Parquet."""

    def batches() -> Iterable[pa.RecordBatch]:
        for file in sorted(folder.glob("*.parquet")):
            with pq.ParquetFile(file) as parquet:
                yield from parquet.iter_batches(rows)

    return statistics_of(spec, batches())
