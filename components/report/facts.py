"""Facts about the log: how much, when, how often the tasks are positive, what ingest dropped."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from hemix.features.definition import DatasetDefinition
from hemix.features.schema import label_column
from hemix.features.split import Window
from hemix.files import read_json

OUTSIDE = "outside"


@dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """One window of the split; ``rates`` maps a task to its positive share, None without rows."""

    name: str
    window: Window
    rows: int
    users: int
    items: int
    rates: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class DataFacts:
    """The log as ingested; ``days`` holds ``(day, split, interactions)``."""

    rows: int
    users: int
    items: int
    behaviors: int
    repeats: int
    conflicts: int
    first: str
    last: str
    splits: tuple[SplitFacts, ...]
    new_items: float
    """Share of the test window's interactions whose item has none in training."""
    days: tuple[tuple[str, str, int], ...]


def read_facts(definition: DatasetDefinition, events: Path) -> DataFacts:
    """Facts of ``events/``: ingest's own summary, and the rows of each window counted anew."""
    summary = read_json(events / "summary.json")
    labels = [label_column(task) for task in definition.tasks]
    files = sorted(str(path) for path in (events / "interactions").rglob("*.parquet"))
    table = ds.dataset(files, format="parquet").to_table(
        columns=["user_id", "item_id", "event_time", *labels]
    )
    windows = definition.split.windows()
    split = _split_of(table["event_time"], windows)
    splits = tuple(
        _facts(definition, table.filter(pa.array(split == name)), name, window)
        for name, window in windows.items()
    )
    times = pc.min_max(table["event_time"]).as_py()
    return DataFacts(
        rows=table.num_rows,
        users=_distinct(table["user_id"]),
        items=_distinct(table["item_id"]),
        behaviors=_count(summary, "rows", "behaviors"),
        repeats=sum(_numbers(summary, "exact_repeats_dropped")),
        conflicts=sum(_numbers(summary, "conflicts")),
        first=f"{times['min']:%-d %b %Y}" if times["min"] else "",
        last=f"{times['max']:%-d %b %Y}" if times["max"] else "",
        splits=splits,
        new_items=_share_of_new(table["item_id"], split),
        days=_days(table["event_time"], split),
    )


def _split_of(times: pa.ChunkedArray, windows: dict[str, Window]) -> np.ndarray:
    ms = times.cast(pa.int64()).to_numpy()
    split = np.full(ms.size, OUTSIDE, dtype=object)
    for name, window in windows.items():
        start, end = (int(edge.timestamp() * 1000) for edge in (window.start, window.end))
        split[(ms >= start) & (ms < end)] = name
    return split


def _facts(definition: DatasetDefinition, rows: pa.Table, name: str, window: Window) -> SplitFacts:
    return SplitFacts(
        name=name,
        window=window,
        rows=rows.num_rows,
        users=_distinct(rows["user_id"]),
        items=_distinct(rows["item_id"]),
        rates={task: pc.mean(rows[label_column(task)]).as_py() for task in definition.tasks},
    )


def _share_of_new(items: pa.ChunkedArray, split: np.ndarray) -> float:
    test = items.filter(pa.array(split == "test"))
    trained = pc.unique(items.filter(pa.array(split == "train")))
    known = pc.mean(pc.is_in(test, value_set=trained)).as_py()
    return 0.0 if known is None else 1.0 - known


def _days(times: pa.ChunkedArray, split: np.ndarray) -> tuple[tuple[str, str, int], ...]:
    table = pa.table(
        {"day": pc.strftime(times, format="%Y-%m-%d"), "split": pa.array(split, pa.string())}
    )
    counts = table.group_by(["day", "split"]).aggregate([([], "count_all")])
    rows = zip(*(counts[name].to_pylist() for name in ("day", "split", "count_all")), strict=True)
    return tuple(sorted((str(day), str(part), int(count)) for day, part, count in rows))


def _distinct(column: pa.ChunkedArray) -> int:
    return int(pc.count_distinct(column).as_py())


def _numbers(summary: dict[str, dict[str, int]], key: str) -> list[int]:
    return [int(number) for number in summary.get(key, {}).values()]


def _count(summary: dict[str, dict[str, int]], key: str, name: str) -> int:
    return int(summary.get(key, {}).get(name, 0))
