"""When rows became known, held to what the definition says of it.

Examples take an event for known once ``availability_delay`` has passed since it happened; a live event
is known when it arrived. Both are the same only where no row of the log arrived later than that.
"""

from __future__ import annotations

import math
from typing import Any

import polars as pl

from hemix.components.ingest.repeats import key_shown
from hemix.errors import DataError
from hemix.features.declared_sources import Sequences

KNOWN_AT = "known_at"


class Lateness:
    """How long after their events the rows of one table became known.

    Args:
        table: its name, for messages.
        sequences: says how long it may be.
    """

    def __init__(self, table: str, sequences: Sequences) -> None:
        self._table, self._rule = table, sequences
        self.rows = 0
        """Rows that say when they became known."""
        self.late = 0
        """Rows that became known later than ``availability_delay`` after they happened."""
        self.longest_ms: int | None = None
        """The longest time between both; negative where all were known before."""
        self._latest: dict[str, Any] = {}

    def without(self, frame: pl.DataFrame) -> pl.DataFrame:
        """Take in a batch; returns it without the column."""
        if KNOWN_AT not in frame.columns:
            return frame
        after = frame[KNOWN_AT] - frame["event_time"]
        self.rows += frame.height
        self.late += int((after > self._rule.availability_delay * 1000).sum())
        if frame.height and (self.longest_ms is None or after.max() > self.longest_ms):
            self.longest_ms = int(after.max())
            row = frame.select("user_id", "item_id", "event_time").row(after.arg_max(), named=True)
            self._latest = row
        return frame.drop(KNOWN_AT)

    def require_few(self) -> None:
        """Refuse a log of which training would see more than serving.

        Raises:
            DataError: more rows are late than ``known_late_at_most``; names the latest, and the delay
                that would hold for all.
        """
        share = self.late / max(self.rows, 1)
        if share <= self._rule.known_late_at_most:
            return
        assert self.longest_ms is not None
        seconds = math.ceil(self.longest_ms / 1000)
        few = min(1.0, math.ceil(share * 1000) / 1000)
        raise DataError(
            f"{self._table}: {self.late:,} of {self.rows:,} rows ({share:.1%}) became known later than "
            f"sequences.availability_delay says ({self._rule.availability_delay} s), the latest "
            f"{seconds} s after it happened: {key_shown(self._latest)}. Training would see them before "
            "serving can.",
            hint=f"Set sequences.availability_delay: {seconds}s, which holds for all of them; or a "
            f"shorter one and sequences.known_late_at_most: {few:g}, the share that may be seen too early. Rows of one event that were delivered again later "
            "count as late: keep the first.",
        )

    def to_json(self) -> dict[str, int | None]:
        """Its part of ``summary.json``."""
        return {"rows": self.rows, "late": self.late, "longest_ms": self.longest_ms}
