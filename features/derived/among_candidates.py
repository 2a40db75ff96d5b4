"""How each candidate stands among the candidates of its request.

One function works it out, for examples and for requests, so that both are equal bit for bit. Values
are summed exactly (:func:`math.fsum`): neither the order of the candidates nor what else is computed
beside a request changes a bit.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def within_request(
    values: npt.NDArray[np.float64 | np.int64],
    requests: npt.NDArray[np.int64],
    statistics: Collection[str],
) -> dict[str, Floats]:
    """Statistics float64 ``[N]`` of each candidate in its request.

    Args:
        values: ``[N]``; NaN, and any negative whole number, are missing.
        requests: which request a candidate is of, ``[N]``; any whole numbers, in any order.
        statistics: which ones.
    """
    numbers = values.astype(np.float64) + 0.0  # which makes 0.0 of -0.0
    if values.dtype.kind == "i":
        numbers[values < 0] = np.nan
    known = ~np.isnan(numbers)
    filled = np.where(known, numbers, 0.0)
    order = np.lexsort((filled, ~known, requests))
    sorted_values, sorted_known, groups = filled[order], known[order], requests[order]
    rows = np.arange(len(order))
    first = np.append(True, groups[1:] != groups[:-1])[: len(rows)]
    starts = np.flatnonzero(first)
    group = np.cumsum(first) - 1
    counts = np.bincount(group[sorted_known], minlength=len(starts))
    found = {
        "rank": _ranks(sorted_values, sorted_known, first, rows) if len(rows) else filled,
        "count": counts[group].astype(np.float64),
        **_of_groups(sorted_values, starts, counts, group),
    }
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        ratio = np.where(sorted_known, sorted_values, np.nan) / found["mean"]
    found["ratio_to_mean"] = np.where(np.isfinite(ratio), ratio, np.nan) + 0.0
    result: dict[str, Floats] = {}
    for statistic in statistics:
        result[statistic] = np.empty(len(rows))
        result[statistic][order] = found[statistic]
    return result


def _ranks(
    values: Floats,
    known: npt.NDArray[np.bool_],
    first: npt.NDArray[np.bool_],
    rows: npt.NDArray[np.int64],
) -> Floats:
    """Least ranks of sorted values; ``first`` marks the first row of each request."""
    new = first.copy()
    new[1:] |= (values[1:] != values[:-1]) | (known[1:] != known[:-1])
    start = np.maximum.accumulate(np.where(first, rows, 0))
    return (np.maximum.accumulate(np.where(new, rows, 0)) - start + 1).astype(np.float64)


def _of_groups(
    values: Floats,
    starts: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    group: npt.NDArray[np.int64],
) -> dict[str, Floats]:
    """``min``, ``max`` and ``mean`` of sorted values, NaN for requests without a known one."""
    some = counts > 0
    low, high, mean = (np.full(len(starts), np.nan) for _ in range(3))
    low[some] = values[starts[some]]
    high[some] = values[starts[some] + counts[some] - 1]
    for at in np.flatnonzero(some):
        of_one = values[starts[at] : starts[at] + counts[at]]
        mean[at] = math.fsum(of_one.tolist()) / len(of_one)
    return {"min": low[group], "max": high[group], "mean": mean[group]}
