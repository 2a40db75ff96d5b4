"""The transform in plain Python, a value at a time: slow and obvious."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hemix.features.definition import DatasetDefinition
from hemix.features.schema import MISSING_INT, SEQUENCES

GAPS = [2**k for k in range(24)]


def is_missing(value: Any) -> bool:
    return value == "" or value == MISSING_INT


def vocabulary(values: Sequence[Any], min_count: int) -> list[Any]:
    """Values by falling count, then by value (strings by their bytes)."""
    counts = Counter(v for v in values if not is_missing(v))
    kept = [v for v, n in counts.items() if n >= min_count]
    return sorted(kept, key=lambda v: (-counts[v], v.encode() if isinstance(v, str) else v))


def index(value: Any, entries: list[Any], oov_buckets: int) -> int:
    """0 missing, an entry's place, or minus one for "some hash bucket"."""
    if is_missing(value):
        return 0
    return 1 + oov_buckets + entries.index(value) if value in entries else -1


def gap_id(seconds: int) -> int:
    return 0 if seconds < 0 else 1 + sum(edge <= seconds for edge in GAPS)


def edges(values: Sequence[float], bins: int) -> list[float]:
    """Lower edges of equally heavy bins; what a heavy value leaves is shared out again."""
    counts = sorted(Counter(values).items())
    left, inside, found = len(values), 0, []
    for place, (_, n) in enumerate(counts[:-1]):
        inside += n
        if len(found) < bins - 1 and inside >= left / (bins - len(found)):
            found.append(counts[place + 1][0])
            left, inside = left - inside, 0
    return found


class Numbers:
    """Scaling and buckets of one number, learned from training values (NaN: missing)."""

    def __init__(self, training: Sequence[float], scale: str, buckets: int) -> None:
        self.scale = scale
        values = [v for v in training if math.isfinite(v)]
        self.edges = edges(values, buckets - 1)
        scaled = [self.on_scale(v) for v in values]
        self.mean = sum(scaled) / len(scaled) if scaled else 0.0
        variance = sum((v - self.mean) ** 2 for v in scaled) / len(scaled) if scaled else 0.0
        self.deviation = math.sqrt(variance) if variance > 1e-12 else 1.0

    def on_scale(self, x: float) -> float:
        return math.copysign(math.log1p(abs(x)), x) if self.scale == "log" else x

    def scaled(self, x: float) -> float:
        return (self.on_scale(x) - self.mean) / self.deviation if math.isfinite(x) else 0.0

    def bucket(self, x: float) -> int:
        return 1 + sum(x >= edge for edge in self.edges) if math.isfinite(x) else 0


def raw_numbers(
    definition: DatasetDefinition, row: dict[str, Any], prior: float, clicks_per_seen: float
) -> dict[str, float]:
    """Numbers of one example before scaling, smoothed rates among them."""
    numbers = {n.name: row[n.name] for n in definition.numeric}
    numbers["item_age_days"] = row["item_age_days"]
    for name in definition.counter_columns:
        numbers[name] = float(row[name]) if row[name] >= 0 else math.nan
    for counter in definition.counters[:2]:
        for window in counter.windows:
            clicks = row[counter.column("click", window)]
            seen = row[counter.column("impression", window)]
            name = f"{counter.prefix}_click_rate_{window}"
            numbers[name] = (clicks + 20 * prior) / (seen + 20)
    user = (row["user_click_1d"] + 20 * prior) / (row["user_impression_1d"] + 20)
    numbers["author_click_rate_1d"] = (row["author_click_1d"] + 20 * user) / (
        row["author_impression_1d"] + 20
    )
    numbers["kind_click_per_seen_rate_1d"] = (row["kind_click_1d"] + 2.5 * clicks_per_seen) / (
        row["kind_action_seen_1d"] + 2.5
    )
    return numbers


def occurrences(rows: Sequence[dict[str, Any]], field: str, in_sequences: bool) -> list[Any]:
    """Values of a field in candidates and, when they carry it, in sequences."""
    values = [row[field] for row in rows]
    if in_sequences:
        values += [v for row in rows for s in SEQUENCES for v in row[f"{s}_{field}"]]
    return values
