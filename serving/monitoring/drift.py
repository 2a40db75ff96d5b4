"""Drift of what is served against what a version was trained on, in the version's own bins.

The bins are those of ``transform/statistics.json``: a version's most frequent ids and the rest, a
number's quantile buckets. What is counted went through the version's own transform, so that a bin
means the same. Counts add up over requests, pods and hours; the index is worked out at the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemix.features.definition import DatasetDefinition
from hemix.features.transform.columns import Column
from hemix.features.transform.drift_features import watched_features
from hemix.features.transform.statistics import REST, Histogram, Statistics, psi
from hemix.features.transform_plan import index_column
from hemix.spec import FeatureSpec

Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class FeatureBins:
    """A version's watched features: which column holds a feature's ids, and an id's bin.

    ``columns`` maps a feature to its transformed column; ``bin_of`` to an array that maps an id to
    a bin of the feature's training histogram, int64 ``[vocabulary or buckets]``.
    """

    training: Mapping[str, Histogram]
    columns: Mapping[str, str]
    bin_of: Mapping[str, Counts]

    @staticmethod
    def of(spec: FeatureSpec, statistics: Statistics, definition: DatasetDefinition) -> FeatureBins:
        """The watched features that the statistics hold, but those served at one stated value."""
        sizes = {c.name: spec.vocabulary(c.vocabulary).size for c in spec.categorical}
        columns = {c.name: c.name for c in spec.categorical}
        for number in spec.numeric:
            columns[number.name] = number.bucket
            sizes[number.name] = number.buckets
        fixed = {
            made for name in definition.served_as for made in (f"{name}_scaled", index_column(name))
        }
        watched = watched_features(definition) - fixed
        names = sorted(watched & columns.keys() & statistics.features.keys())
        training = {name: statistics.features[name] for name in names}
        return FeatureBins(
            training=training,
            columns={name: columns[name] for name in names},
            bin_of={name: _bins(training[name], sizes[name]) for name in names},
        )

    def count(self, columns: Mapping[str, Column]) -> dict[str, Counts]:
        """How often each bin occurs in transformed columns, a feature."""
        return {
            name: np.bincount(
                self.bin_of[name][np.asarray(columns[column])],
                minlength=len(self.training[name].bins) + 1,
            )
            for name, column in self.columns.items()
        }

    def psi(self, counts: Mapping[str, npt.ArrayLike]) -> dict[str, float]:
        """Population stability index of counts, as :meth:`count` makes them, a feature."""
        return {
            name: psi(self.training[name], self._histogram(name, np.asarray(found)))
            for name, found in counts.items()
            if name in self.training
        }

    def _histogram(self, name: str, counts: npt.NDArray[np.float64 | np.int64]) -> Histogram:
        training = self.training[name]
        served = _by_bin(training.bins, counts)
        return training.model_copy(update={"bins": tuple(served), "counts": tuple(served.values())})


def _by_bin(bins: tuple[str, ...], counts: npt.NDArray[np.float64 | np.int64]) -> dict[str, int]:
    """Counts by bin; the last count is of ids that training did not see at all: the rest's."""
    named = {name: int(count) for name, count in zip(bins, counts, strict=False)}
    named[REST] = named.get(REST, 0) + int(counts[len(bins)])
    return named


def _bins(training: Histogram, size: int) -> Counts:
    rest = training.bins.index(REST) if REST in training.bins else len(training.bins)
    found = np.full(size, rest, dtype=np.int64)
    for at, name in enumerate(training.bins):
        if name != REST and int(name) < size:
            found[int(name)] = at
    return found
