"""A version's trial before it serves: rows of every kind, and what it says of them.

The rows are made from the version's own specification, behind its transform: ids that it knows, that
it does not know and that are missing; numbers in the middle and at both ends of what it was trained
on; histories that are empty, short and full.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from hemix.serving.messages.soundness import UnsoundScores, require_sound
from hemix.spec import FeatureSpec, NumericFeature, Side

if TYPE_CHECKING:
    from hemix.features.transform.columns import Column
    from hemix.features.transform.statistics import Statistics
    from hemix.models.versions.inference import Scorer

logger = logging.getLogger("hemix.serving")

ITEMS = 200
USERS = 12
_USER: frozenset[Side] = frozenset({"user", "context"})
_ITEM: frozenset[Side] = frozenset({"item"})


def require_finite_weights(version: str, scorer: Scorer) -> None:
    """Raise UnsoundScores when a weight is not a finite number; names the tensor."""
    for name, weight in scorer.ranker.state_dict().items():
        if weight.is_floating_point() and not bool(weight.isfinite().all()):
            count = int((~weight.isfinite()).sum())
            raise UnsoundScores(
                f"Version {version}: {count} of {weight.numel()} weights of {name} are no numbers."
            )


def try_out(version: str, scorer: Scorer, statistics: Statistics) -> None:
    """Score every kind of row.

    Raises:
        UnsoundScores: a score is not a probability.
    """
    spec = scorer.spec
    seen: dict[str, set[float]] = {task.name: set() for task in spec.tasks}
    for user, items in rows(spec, statistics):
        scores = scorer.score(user, items)
        if scores.keys() != seen.keys():
            raise UnsoundScores(
                f"Version {version} scores {', '.join(scores)}, not its tasks {', '.join(seen)}."
            )
        require_sound(version, scores, ITEMS)
        for task, values in scores.items():
            seen[task] |= {float(values.min()), float(values.max())}
    for task, found in seen.items():
        if len(found) == 1:
            logger.warning("Version %s says %s of everything: %s.", version, found.pop(), task)


def rows(
    spec: FeatureSpec, statistics: Statistics
) -> Iterator[tuple[dict[str, Column], dict[str, Column]]]:
    """Transformed columns of users ``[1]`` and of items ``[ITEMS]``, always the same ones."""
    random = np.random.default_rng(7)
    for number in range(USERS):
        # 0: nothing is known; 1: the last id of everything, the highest numbers, full histories;
        # 2: unknown ids, the lowest numbers; then any.
        user: dict[str, Any] = _columns(spec, statistics, _USER, 1, number, random)
        for sequence in spec.sequences:
            length = {0: 0, 1: sequence.max_length, 2: 1}.get(
                number, int(random.integers(0, sequence.max_length + 1))
            )
            for column in sequence.columns:
                size = spec.vocabulary(column.vocabulary).size
                ids = _ids(size, length, number, random)
                user[column.column] = (ids, np.array([0, length], np.int64))
        yield user, _columns(spec, statistics, _ITEM, ITEMS, 3, random)


def _columns(
    spec: FeatureSpec,
    statistics: Statistics,
    sides: frozenset[Side],
    count: int,
    number: int,
    random: np.random.Generator,
) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for feature in spec.categorical:
        if feature.side in sides:
            size = spec.vocabulary(feature.vocabulary).size
            columns[feature.name] = _ids(size, count, number, random)
    for numeric in spec.numeric:
        if numeric.side in sides:
            columns[numeric.name] = _numbers(numeric, statistics, count, number, random)
            columns[numeric.bucket] = _ids(numeric.buckets, count, number, random)
    return columns


def _ids(size: int, count: int, number: int, random: np.random.Generator) -> Any:
    last = max(size - 1, 0)
    fixed = {0: 0, 1: last, 2: min(1, last)}.get(number)
    if fixed is not None:
        return np.full(count, fixed, np.int32)
    ids = random.integers(0, last + 1, count).astype(np.int32)
    ids[: min(count, 3)] = (0, min(1, last), last)[: min(count, 3)]
    return ids


def _numbers(
    numeric: NumericFeature,
    statistics: Statistics,
    count: int,
    number: int,
    random: np.random.Generator,
) -> Any:
    histogram = statistics.features.get(numeric.name)
    points = (*(histogram.quantiles if histogram else ()), 0.0)
    low, high = min(points), max(points)
    fixed = {0: 0.0, 1: high, 2: low}.get(number)
    if fixed is not None:
        return np.full(count, fixed, np.float32)
    return random.uniform(low, high, count).astype(np.float32)
