"""Examples of a generated log in one process with polars: as-of joins and gathers."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from hemix.features.definition import DatasetDefinition
from hemix.features.parts import Counter

DAY_MS = 86_400_000


def build(definition: DatasetDefinition, events: Path, out: Path) -> None:
    """Write ``day=*/part-0.parquet`` with the columns of ours; exact times and one version an id."""
    users = pl.read_parquet(events / "users" / "*.parquet").drop("valid_from")
    items = pl.read_parquet(events / "items" / "*.parquet").drop("valid_from")
    rows = _read(events, "interactions").join(items, on="item_id", how="left")
    rows = rows.with_row_index("row").sort("t")
    for counter in definition.counters:
        for window in counter.windows:
            rows = _count(rows, definition, counter, window)
    seen = (
        _read(events, "behaviors")
        .unique(["user_id", "item_id", "t", "action"])
        .sort("user_id", "t", "position", "item_id", "action")
        .join(items, on="item_id", how="left", maintain_order="left")
        .with_row_index("place")
        .with_columns(pl.col("place").cast(pl.Int64))
        .with_columns(first=pl.col("place").min().over("user_id"))
    )
    rows = _ranges(rows, seen, definition)
    rows = rows.sort("t", "user_id", "item_id", "request_id")
    for name in ("global", "realtime"):
        rows = _gather(rows, seen, name)
    rows = rows.join(users, on="user_id", how="left", maintain_order="left").with_columns(
        hour=(pl.col("t") % DAY_MS) // 3_600_000,
        weekday=(pl.col("t") // DAY_MS + 3) % 7,
        day=pl.col("event_time").dt.date(),
    )
    rows = rows.drop("t", "row", "^(global|realtime)_(start|end)$")
    for (day,), part in rows.partition_by("day", as_dict=True, include_key=False).items():
        folder = out / f"day={day}"
        folder.mkdir(parents=True)
        part.write_parquet(folder / "part-0.parquet", compression="zstd", compression_level=1)


def _read(events: Path, table: str) -> pl.DataFrame:
    paths = sorted((events / table).glob("day=*/*.parquet"))
    frame = pl.read_parquet(paths, hive_partitioning=False)
    return frame.with_columns(t=pl.col("event_time").dt.epoch("ms"))


def _count(
    rows: pl.DataFrame, definition: DatasetDefinition, counter: Counter, window: str
) -> pl.DataFrame:
    """Counts before the row less counts before the window, both by an as-of join."""
    key, names = counter.keys[0], definition.counter_events(counter)

    def positive(name: str) -> pl.Expr:
        if name == "impression":
            return pl.col("t").cum_count()
        return pl.col(f"label_{name}").cast(pl.Int64).cum_sum()

    columns = [positive(name).over(key).cast(pl.Int64).alias(name) for name in names]
    totals = rows.select(key, "t", *columns)
    before = _as_of(rows.select("row", key, "t"), totals, key)
    seconds = Counter.window_seconds(window)
    if seconds is not None:
        early = _as_of(rows.select("row", key, t=pl.col("t") - seconds * 1000), totals, key)
        before = before.with_columns(before[name] - early[name] for name in names)
    return rows.with_columns(before[name].alias(counter.column(name, window)) for name in names)


def _as_of(asked: pl.DataFrame, totals: pl.DataFrame, key: str) -> pl.DataFrame:
    found = asked.join_asof(
        totals, on="t", by=key, allow_exact_matches=False, check_sortedness=False
    )
    return found.with_columns(pl.exclude("row", key, "t").fill_null(0))


def _ranges(rows: pl.DataFrame, seen: pl.DataFrame, definition: DatasetDefinition) -> pl.DataFrame:
    rule = definition.sequences
    known = seen.select("user_id", "t", "first", end=pl.col("place") + 1).sort("t")
    rows = rows.sort("t")
    firsts = seen.group_by("user_id").agg(first=pl.col("place").min())
    asked = rows.select("user_id", "t").join(
        firsts, on="user_id", how="left", maintain_order="left"
    )
    if rule.realtime_window == "day":
        start = pl.col("t") // DAY_MS * DAY_MS
    else:
        seconds = 0 if rule.realtime_window == "last" else rule.realtime_window
        start = pl.col("t") - seconds * 1000
    ends = []
    for time in (pl.col("t"), start):
        found = asked.select("user_id", "first", t=time).join_asof(
            known.select("user_id", "t", "end"),
            on="t", by="user_id", allow_exact_matches=False, check_sortedness=False,
        )  # fmt: skip
        ends.append(found.select(pl.coalesce("end", "first").fill_null(0)).to_series())
    first = asked["first"].fill_null(0)
    rows = rows.with_columns(first=first, realtime_end=ends[0], split=ends[1])
    last = pl.max_horizontal("first", pl.col("realtime_end") - rule.realtime_length)
    split = last if rule.realtime_window == "last" else pl.col("split")
    end = pl.col("realtime_end") if rule.overlap else split
    return rows.with_columns(
        global_start=pl.max_horizontal("first", end - rule.global_length),
        global_end=end,
        realtime_start=pl.max_horizontal(split, last),
    ).drop("first", "split")


def _gather(rows: pl.DataFrame, seen: pl.DataFrame, name: str) -> pl.DataFrame:
    """Explode the ranges of a sequence, take the events, and fold them into lists again."""
    long = rows.select(
        pl.int_range(pl.len()).alias("n"),
        "t",
        place=pl.int_ranges(f"{name}_start", f"{name}_end"),
    ).explode("place", empty_as_null=True)
    place = long["place"]
    columns = [c for c in seen.columns if c in ("item_id", "author_id", "tag", "action")]
    taken = long.select("n", gap_s=(pl.col("t") - seen["t"].gather(place)) // 1000).with_columns(
        seen[column].gather(place).alias(column) for column in columns
    )
    folded = taken.group_by("n", maintain_order=True).agg(pl.exclude("n").drop_nulls())
    return rows.with_columns(folded[c].alias(f"{name}_{c}") for c in [*columns, "gap_s"])
