"""From requests to second moments: sums a user, at one look or at many."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from hemix.serving.experiments.statistics.effects import Floats, Moments

Codes = NDArray[np.int64]


def looks(requests: int, count: int) -> Codes:
    """``count`` (at most) evenly spaced numbers of requests, the last one all of them."""
    if requests == 0:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.ceil(np.arange(1, count + 1) * requests / count).astype(np.int64))


def moments_at(
    cuts: Codes,
    *,
    users: Codes,
    arms: Codes,
    numbers: Floats,
    sizes: Floats,
    covariates: Floats | None = None,
) -> Iterator[tuple[Moments, ...]]:
    """Moments of each arm after the first ``cut`` requests, for each cut in rising order.

    Args:
        cuts: numbers of requests, rising.
        users: code of each request's user ``[R]``, requests in the order of time.
        arms: arm of each user ``[U]``.
        numbers: the metric's numerator of each request ``[R]``; 0 for a request that does not
            count.
        sizes: its denominator ``[R]``; 0 for a request that does not count.
        covariates: what is known of each user from before ``[U, C]``.
    """
    count = len(arms)
    arm_count = int(arms.max()) + 1 if count else 0
    known = np.zeros((count, 0)) if covariates is None else covariates
    table = np.concatenate([np.zeros((count, 3)), known], axis=1)
    requests = np.zeros((arm_count, 3, 3))
    begin = 0
    for end in cuts:
        part = slice(begin, int(end))
        np.add.at(table[:, 1], users[part], numbers[part])
        np.add.at(table[:, 2], users[part], sizes[part])
        table[users[part], 0] = 1.0
        rows = np.stack([(sizes[part] != 0).astype(np.float64), numbers[part], sizes[part]], axis=1)
        for arm in range(arm_count):
            own = rows[arms[users[part]] == arm]
            requests[arm] += own.T @ own
        begin = int(end)
        yield tuple(_moments(table[arms == arm], requests[arm].copy()) for arm in range(arm_count))


def _moments(rows: Floats, requests: Floats) -> Moments:
    came = rows[rows[:, 0] > 0]
    return Moments(users=came.T @ came, requests=requests)
