"""Mergeable histograms of numbers, and the scaling and buckets read off them.

Doubles are ordered like whole numbers by their bits, so a cell of level ``l`` is a run of ``2**l``
neighbouring doubles: level 0 keeps every value apart, level 52 one cell an octave. A histogram of
at most :data:`CELLS` distinct values is exact. A longer one is told at the lowest level at which it
has no more than :data:`CELLS` cells: the resolution follows where values lie, so that epoch seconds of
one day are told apart as well as prices or counters, and one value of 1e30 costs one cell.

The level of a sum depends on its values alone, and counts are integers: the order of rows, batches
and workers does not show, which running means and quantile sketches cannot promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]
Int64 = npt.NDArray[np.int64]
CELLS = 1 << 15
"""Most cells of one number: 512 KiB."""
_MAGNITUDE = np.int64(0x7FFF_FFFF_FFFF_FFFF)
_LARGEST = np.int64(0x7FEF_FFFF_FFFF_FFFF)
"""The bits of the largest finite double."""
SMALLEST = float(np.finfo(np.float64).tiny)
"""Below it TensorFlow counts as zero."""


@dataclass(frozen=True)
class Cells:
    """Sorted cells of one number, ``int64 [C]``: cell k holds the doubles of order ``k << level``
    and the ``2**level - 1`` next; ``counts`` is how many values lie in it."""

    level: int
    keys: Int64
    counts: Int64

    def lowest(self) -> Float64:
        """The smallest double of each cell."""
        return _value(np.maximum(self.keys << self.level, -_LARGEST))

    def middle(self) -> Float64:
        """What each cell's values are taken for; at level 0 the value itself."""
        first = np.maximum(self.keys << self.level, -_LARGEST)
        last = np.minimum((self.keys << self.level) + ((1 << self.level) - 1), _LARGEST)
        low, high = _value(first), _value(last)
        return np.where(first == last, low, low / 2 + high / 2)

    def coarse(self, level: int) -> Cells:
        """The same values in the cells of a level that is no lower."""
        return _summed(level, self.keys >> (level - self.level), self.counts)


NONE = Cells(0, np.zeros(0, np.int64), np.zeros(0, np.int64))


def _order(x: Float64) -> Int64:
    """Whole numbers in the order of the doubles; 0 for both zeros."""
    bits = np.ascontiguousarray(x, np.float64).view(np.int64)
    return np.where(bits < 0, -(bits & _MAGNITUDE), bits)


def _value(order: Int64) -> Float64:
    bits = np.where(order < 0, -order | ~_MAGNITUDE, order)
    return np.ascontiguousarray(bits, np.int64).view(np.float64)


def _summed(level: int, keys: Int64, counts: Int64) -> Cells:
    distinct, where = np.unique(keys, return_inverse=True)
    total = np.zeros(len(distinct), np.int64)
    np.add.at(total, where, counts)
    return Cells(level, distinct, total)


def _fitting(cells: Cells) -> Cells:
    while len(cells.keys) > CELLS:
        cells = cells.coarse(cells.level + 1)
    return cells


def count(x_BF: Float64) -> list[Cells]:
    """The cells of each feature of a batch; values that are not finite are left out."""
    result = []
    for column in np.asarray(x_BF, dtype=np.float64).T:
        keys, counts = np.unique(_order(column[np.isfinite(column)]), return_counts=True)
        result.append(_fitting(Cells(0, keys, counts.astype(np.int64))))
    return result


def merge(parts: Iterable[list[Cells]]) -> list[Cells]:
    """The sum of histograms of the same features."""
    merged = []
    for features in zip(*parts, strict=True):
        level = max(cells.level for cells in features)
        fitted = [cells.coarse(level) for cells in features]
        keys = np.concatenate([cells.keys for cells in fitted])
        counts = np.concatenate([cells.counts for cells in fitted])
        merged.append(_fitting(_summed(level, keys, counts)))
    return merged


def boundaries(cells: Cells, bins: int) -> list[float]:
    """At most ``bins - 1`` lower edges of equally heavy bins.

    A cell heavier than its share gets a bin of its own and the rest is shared out again, so that
    a counter that is mostly zero keeps its bins for what is not.
    """
    lowest, edges = cells.lowest(), list[float]()
    left, inside = int(cells.counts.sum()), 0
    for index in range(len(lowest) - 1):
        inside += int(cells.counts[index])
        if len(edges) < bins - 1 and inside * (bins - len(edges)) >= left:
            edges.append(float(lowest[index + 1]))
            left, inside = left - inside, 0
    return edges


def moments(x: Float64, counts: Int64) -> tuple[float, float]:
    """Mean and standard deviation of values that occur ``counts`` times; 0 and 1 without values.

    Worked out about a value among them and at the size of the largest, so that neither a large
    offset nor an extreme size costs digits. Without spread, or with one that TensorFlow counts as
    zero, the deviation is 1.
    """
    if not len(x):
        return 0.0, 1.0
    _, exponent = np.frexp(np.abs(x).max())
    unit = np.ldexp(x, -exponent)
    base = unit[len(unit) // 2]
    away, share = unit - base, counts / counts.sum()
    centre = (away * share).sum()
    spread = np.ldexp(np.sqrt((share * (away - centre) ** 2).sum()), exponent)
    mean = float(np.ldexp(base + centre, exponent))
    return mean, float(spread) if len(x) > 1 and spread >= SMALLEST else 1.0


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Of F features: mean and standard deviation on their scale, edges padded with +inf."""

    mean_F: Float64
    deviation_F: Float64
    edges_FK: Float64


def scaling(parts: Sequence[list[Cells]], logs: Sequence[bool], buckets: Sequence[int]) -> Scaling:
    """Scaling of features from histograms; a feature without values gets mean 0, deviation 1."""
    width = max((b - 2 for b in buckets), default=0)
    mean, deviation = np.zeros(len(logs)), np.ones(len(logs))
    edges = np.full((len(logs), max(width, 1)), np.inf)
    for f, cells in enumerate(merge(parts) if parts else []):
        x = cells.middle()
        if logs[f]:
            x = np.sign(x) * np.log1p(np.abs(x))
        mean[f], deviation[f] = moments(x, cells.counts)
        found = boundaries(cells, buckets[f] - 1)
        edges[f, : len(found)] = found
    return Scaling(mean_F=mean, deviation_F=deviation, edges_FK=edges)
