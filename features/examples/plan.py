"""What a run of build_examples does: how many shards, which parts it writes."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from hemix.features.arrays.dense_ranks import Ints
from hemix.features.examples.log import Log, ReadTask
from hemix.features.examples.sequences import DAY_MS

ROWS_A_SHARD = 131_072
ROWS_A_PART = 32_768
EPOCH = date(1970, 1, 1)


@dataclass(frozen=True, kw_only=True)
class Plan(Log):
    """Everything a worker needs; small, and pickled into the pipeline."""

    scratch: Path
    out: Path
    shards: int
    parts: dict[int, int]
    """Day number since 1970 -> into how many equal spans of time its output is cut."""
    days: tuple[int, ...] | None = None
    """Day numbers to write; all when None."""

    def chosen(self, times: Ints) -> Ints | None:
        """Places of the rows that are written; None when that is all of them."""
        if self.days is None:
            return None
        return np.flatnonzero(np.isin(times // DAY_MS, np.array(self.days)))

    def slices(self, times: Ints) -> Ints:
        """The output slice ``[rows]`` of each time: ``day * 2^20 + part``."""
        days, within = np.divmod(times, DAY_MS)
        result = days << 20
        for day, parts in self.parts.items():
            if parts > 1:
                here = days == day
                result[here] += within[here] * parts // DAY_MS
        return result


def parts_of_days(tasks: Sequence[ReadTask], rows_a_part: int = ROWS_A_PART) -> dict[int, int]:
    """How many parts each day is written in; from the rows of its folder alone."""
    rows: Tally[int] = Tally()
    for task in tasks:
        rows[day_of(task)] += task.rows
    return {day: -(-count // rows_a_part) for day, count in sorted(rows.items())}


def day_of(task: ReadTask) -> int:
    """The day, as days since 1970, whose folder a row group lies in."""
    day = date.fromisoformat(Path(task.path).parent.name.removeprefix("day="))
    return (day - EPOCH).days


def slice_name(number: int) -> str:
    """``day=YYYY-MM-DD/part-NNNNN.parquet`` of a slice."""
    day, part = number >> 20, number & (2**20 - 1)
    return f"day={EPOCH + timedelta(days=day)}/part-{part:05d}.parquet"


def shards_for(rows: int) -> int:
    """Enough shards that one holds about :data:`ROWS_A_SHARD` rows; at least 4."""
    return max(4, -(-rows // ROWS_A_SHARD))
