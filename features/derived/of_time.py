"""Features computed from the time of an interaction or request: one function each.

``build_examples`` (features/examples/write_partitions.py) and serving (features/store/assemble.py)
both call it, so that what is served is what was trained on. Times are epoch milliseconds, UTC.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hemix.features.schema import MISSING_INT

Ints = npt.NDArray[np.int64]
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, kw_only=True)
class TimeField:
    """A categorical field with the values ``0`` to ``size - 1``, of times int64 of any shape."""

    size: int
    of: Callable[[Ints], Ints]


TIME_FIELDS = {
    "hour": TimeField(size=24, of=lambda ms: ms // HOUR_MS % 24),
    # 1 January 1970 was a Thursday; Monday is 0.
    "weekday": TimeField(size=7, of=lambda ms: (ms // DAY_MS + 3) % 7),
}


def item_age_days(created_ms: Ints, time_ms: Ints | int) -> npt.NDArray[np.float64]:
    """Days from the item's creation to ``time_ms``, never negative; NaN where it is unknown.

    Args:
        created_ms: int64 ``[N]``; :data:`MISSING_INT` where unknown.
        time_ms: int64 ``[N]``, or one time for all.
    """
    missing = created_ms == MISSING_INT
    age = np.maximum((time_ms - np.where(missing, 0, created_ms)) / DAY_MS, 0.0)
    return np.where(missing, np.nan, age)
