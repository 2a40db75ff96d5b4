"""The test window of a log as ranking requests with what followed, in the order of time.

A request is a user's day: its candidates are the items that the user was shown that day, its time
and context those of the first. What was logged for each showing is an outcome of the request.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hemix.bounds import MAX_TEXT
from hemix.errors import DataError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import label_column
from hemix.models.metrics.pointwise import grouped_auc
from hemix.pipelines.demo.heldout import spoken
from hemix.serving.messages.request import MAX_CANDIDATES

if TYPE_CHECKING:
    import polars as pl

DAY = timedelta(days=1)
_REST = 24
"""Characters of a request id besides prefix and user: two dashes and a day's number."""


@dataclass(frozen=True, kw_only=True)
class ReplayRequest:
    """One request as the client sends it."""

    request_id: str
    user_id: int | str
    item_ids: list[Any]
    context: dict[str, Any]
    timestamp_ms: int
    candidates: dict[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Traffic:
    """``requests``: request_id, user_id, item_ids, request columns (a value), candidate columns
    (lists beside ``item_ids``, of each item's first showing), timestamp_ms, rising in time.
    ``outcomes``: request_id, item_id, task, value, time_ms, one a logged showing and task.
    ``known``: numbers of each user that no variant can change: what was known from before the
    window, and how well a plain order by popularity does on the user's own requests. The latter is
    a control variate that only a replay may use: its outcomes do not depend on the variant.
    """

    requests: pl.DataFrame
    outcomes: pl.DataFrame
    known: pl.DataFrame
    context: tuple[str, ...]
    candidates: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[ReplayRequest]:
        for row in self.requests.iter_rows(named=True):
            yield ReplayRequest(
                request_id=row["request_id"],
                user_id=row["user_id"],
                item_ids=row["item_ids"],
                context={
                    name: value for name in self.context if (value := spoken(row[name])) is not None
                },
                timestamp_ms=row["timestamp_ms"],
                candidates={
                    name: [spoken(value) for value in row[name]] for name in self.candidates
                },
            )


def read_traffic(
    definition: DatasetDefinition, events: Path, *, prefix: str, users: int | None = None
) -> Traffic:
    """The traffic of the definition's test window.

    Args:
        definition: names tasks, context fields and the test window.
        events: the ingest step's artifact.
        prefix: of every request id, so that another experiment's requests have other ids.
        users: only this many users, the same ones every time; None for all.

    Raises:
        DataError: the window holds no interaction.
    """
    import polars as pl

    window = definition.split.test
    time = pl.col("event_time")
    files = sorted((events / "interactions").rglob("*.parquet"))
    log = pl.scan_parquet(files, glob=False, hive_partitioning=False)
    shown = log.filter(time.is_between(window.start, window.end, closed="left"))
    if users is not None:
        chosen = (
            shown.select("user_id").unique().sort(pl.col("user_id").hash(seed=0), "user_id")
        ).head(users)
        shown = shown.join(chosen, on="user_id", how="semi")
    day = ((time.dt.epoch("ms") - _ms(window.start)) // _ms(DAY)).alias("day")
    rows = shown.with_columns(day).sort("event_time", "user_id", "item_id").collect()
    if rows.is_empty():
        raise DataError(
            f"The test window {window.start:%-d %B} to {window.end:%-d %B} holds no interaction."
        )
    user = pl.col("user_id").cast(pl.String)
    fits = user.str.len_chars() + len(prefix) + _REST <= MAX_TEXT
    named = pl.when(fits).then(user).otherwise(user.hash(seed=0).cast(pl.String))
    rows = rows.with_columns(
        request_id=pl.format(f"{prefix}-{{}}-{{}}", named, pl.col("day")),
        time_ms=time.dt.epoch("ms"),
    )
    context, candidates = definition.request_columns, definition.candidate_columns
    requests = (
        rows.unique(["request_id", "item_id"], keep="first", maintain_order=True)
        .group_by("request_id", maintain_order=True)
        .agg(
            pl.col("user_id").first(),
            pl.col("item_id").head(MAX_CANDIDATES).alias("item_ids"),
            *(pl.col(name).first() for name in context),
            *(pl.col(name).head(MAX_CANDIDATES) for name in candidates),
            pl.col("time_ms").first().alias("timestamp_ms"),
        )
        .sort("timestamp_ms", "request_id")
    )
    labels = {label_column(task): task for task in definition.tasks}
    outcomes = (
        rows.select("request_id", "item_id", "time_ms", *labels)
        .unpivot(on=list(labels), index=["request_id", "item_id", "time_ms"], variable_name="task")
        .with_columns(pl.col("task").replace_strict(labels), pl.col("value").cast(pl.Float64))
        .select("request_id", "item_id", "task", "value", "time_ms")
    )
    before = log.filter(time < window.start).join(
        rows.select("user_id").unique().lazy(), on="user_id", how="semi"
    )
    known = _known(before, labels).collect()
    for column, task in labels.items():
        plain = popularity_order(rows, log.filter(time < window.start), column)
        known = known.join(
            plain.rename({"surplus": f"popularity_{task}"}), on="user_id", how="full", coalesce=True
        )
    return Traffic(
        requests=requests, outcomes=outcomes, known=known, context=context, candidates=candidates
    )


def _known(before: pl.LazyFrame, labels: dict[str, str]) -> pl.LazyFrame:
    """How much a user was shown before the window, and how often each label came."""
    import polars as pl

    rates = [
        ((pl.col(column).sum() + 1.0) / (pl.len() + 3.0)).alias(f"rate_{task}")
        for column, task in labels.items()
    ]
    return before.group_by("user_id").agg(pl.len().log1p().alias("volume"), *rates)


def popularity_order(rows: pl.DataFrame, before: pl.LazyFrame, column: str) -> pl.DataFrame:
    """Per user the sum over requests of (AUC of the order by popularity − its mean), ``surplus``.

    Popularity is the smoothed rate of the label before the window.
    """
    import polars as pl

    popular = before.group_by("item_id").agg(
        popularity=(pl.col(column).sum() + 1.0) / (pl.len() + 4.0)
    )
    first = (
        rows.group_by("request_id", "item_id", maintain_order=True)
        .agg(pl.col("user_id").first(), pl.col(column).max())
        .join(popular.collect(), on="item_id", how="left", maintain_order="left")
        .with_columns(
            pl.col("popularity").fill_null(0.25), group=pl.col("request_id").rank("dense") - 1
        )
    )
    found, _ = grouped_auc(first[column], first["popularity"], first["group"])
    requests = first.unique("group").sort("group").with_columns(auc=pl.Series(found).fill_nan(None))
    return requests.group_by("user_id", maintain_order=True).agg(
        surplus=(pl.col("auc") - requests["auc"].mean()).sum()
    )


def _ms(value: Any) -> int:
    if isinstance(value, timedelta):
        return round(value.total_seconds() * 1000)
    return round(value.timestamp() * 1000)
