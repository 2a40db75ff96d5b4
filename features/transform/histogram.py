"""Exact, mergeable histograms of numbers, and the scaling and buckets read off them.

A value is counted under its float32 with the low 11 bits of the mantissa cleared: relative error
below 2^-12, integers up to 4,096 exact. Counts are integers, so the result does not depend on the
order of rows, batches or shards, which running means and quantile sketches cannot promise.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Float32 = npt.NDArray[np.float32]
Counts = tuple[Float32, npt.NDArray[np.int64]]
_MASK = np.int32(-(2**11))


def rounded(x: Float32) -> Float32:
    """``x`` towards zero at 12 bits of mantissa."""
    cut = np.ascontiguousarray(x, dtype=np.float32).view(np.int32) & _MASK
    return cut.view(np.float32) + np.float32(0)


def count(x_BF: Float32) -> list[Counts]:
    """Sorted distinct rounded values and their counts, a feature; values that are not finite are left out."""
    result = []
    for column in np.asarray(x_BF, dtype=np.float32).T:
        values, counts = np.unique(rounded(column[np.isfinite(column)]), return_counts=True)
        result.append((values, counts.astype(np.int64)))
    return result


def merge(parts: Iterable[list[Counts]]) -> list[Counts]:
    """The sum of histograms of the same features."""
    merged = []
    for features in zip(*parts, strict=True):
        values, where = np.unique(np.concatenate([v for v, _ in features]), return_inverse=True)
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, where, np.concatenate([c for _, c in features]))
        merged.append((values, counts))
    return merged


def boundaries(values: Float32, counts: npt.NDArray[np.int64], bins: int) -> list[float]:
    """At most ``bins - 1`` lower edges of equally heavy bins.

    A value heavier than its share gets a bin of its own and the rest is shared out again, so that
    a counter that is mostly zero keeps its bins for what is not.
    """
    edges: list[float] = []
    left, inside = int(counts.sum()), 0
    for index in range(len(values) - 1):
        inside += int(counts[index])
        if len(edges) < bins - 1 and inside * (bins - len(edges)) >= left:
            edges.append(float(values[index + 1]))
            left, inside = left - inside, 0
    return edges


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Of F features: mean and standard deviation on their scale, edges padded with +inf."""

    mean_F: Float32
    deviation_F: Float32
    edges_FK: Float32


def scaling(parts: Sequence[list[Counts]], logs: Sequence[bool], buckets: Sequence[int]) -> Scaling:
    """Scaling of features from histograms; a feature without values gets mean 0, deviation 1."""
    width = max((b - 2 for b in buckets), default=0)
    mean = np.zeros(len(logs), np.float32)
    deviation = np.ones(len(logs), np.float32)
    edges = np.full((len(logs), max(width, 1)), np.inf, np.float32)
    for f, (values, counts) in enumerate(merge(parts) if parts else []):
        total = counts.sum()
        if not total:
            continue
        x = values.astype(np.float64)
        if logs[f]:
            x = np.sign(x) * np.log1p(np.abs(x))
        centre = (x * counts).sum() / total
        spread = np.sqrt((counts * (x - centre) ** 2).sum() / total)
        mean[f] = centre
        deviation[f] = spread if spread > 1e-6 else 1.0
        found = boundaries(values, counts, buckets[f] - 1)
        edges[f, : len(found)] = found
    return Scaling(mean_F=mean, deviation_F=deviation, edges_FK=edges)
