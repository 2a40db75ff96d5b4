"""Rows of one table, set aside by day as they are read, then finished one day at a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

MS_PER_DAY = 86_400_000
BUFFER_ROWS = 2_000_000


def day_name(day: int) -> str:
    """``2022-05-01`` for a number of days since 1970."""
    return datetime.fromtimestamp(day * 86_400, UTC).strftime("%Y-%m-%d")


class DaySpill:
    """Frames with an ``event_time`` column (int64 ms), kept by UTC day under ``folder``.

    Memory holds at most about ``buffer_rows`` rows, later one day's rows.
    """

    def __init__(self, folder: Path, buffer_rows: int = BUFFER_ROWS) -> None:
        self._folder = folder
        self._limit = buffer_rows
        self._buffer: list[pl.DataFrame] = []
        self._buffered = 0
        self._parts: dict[int, list[Path]] = {}
        self.rows = 0

    def add(self, frame: pl.DataFrame) -> None:
        self._buffer.append(frame)
        self._buffered += frame.height
        self.rows += frame.height
        if self._buffered >= self._limit:
            self._flush()

    def days(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Each day that has rows, in order, with all of its rows in no particular order."""
        self._flush()
        for day in sorted(self._parts):
            frames = [pl.DataFrame(pl.from_arrow(pq.read_table(p))) for p in self._parts[day]]
            for part in self._parts[day]:
                part.unlink()
            yield day_name(day), pl.concat(frames)

    def _flush(self) -> None:
        if not self._buffer:
            return
        frame = pl.concat(self._buffer)
        self._buffer, self._buffered = [], 0
        self._folder.mkdir(parents=True, exist_ok=True)
        by_day = frame.with_columns((pl.col("event_time") // MS_PER_DAY).alias("_day"))
        for (day,), rows in by_day.partition_by("_day", as_dict=True, include_key=False).items():
            parts = self._parts.setdefault(int(day), [])
            path = self._folder / f"{day}-{len(parts)}.parquet"
            write_table(rows.to_arrow(), path)
            parts.append(path)


def write_table(table: pa.Table, path: Path) -> None:
    """One zstd Parquet file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd")


def to_schema(frame: pl.DataFrame, schema: pa.Schema) -> pa.Table:
    """A frame with int64 ms times as an Arrow table of ``schema`` (times become timestamps)."""
    return frame.select(schema.names).to_arrow().cast(schema)
