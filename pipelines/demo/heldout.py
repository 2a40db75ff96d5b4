"""Real ranking requests out of the test window: who came, when, in which context, what was shown."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hemix.errors import DataError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import MISSING_INT, MISSING_STRING, label_column
from hemix.pipelines.local.record import RunRecord

MIN_CANDIDATES, MAX_CANDIDATES = 5, 20


@dataclass(frozen=True, kw_only=True)
class HeldOutRequest:
    """One user at the start of a day, the items of that day, and what the user then did.

    ``candidates`` holds each candidate's own values, by column; ``labels`` a 0/1 for each candidate
    and task.
    """

    request_id: str
    user_id: int | str
    item_ids: list[int] | list[str]
    context: dict[str, Any]
    timestamp_ms: int
    labels: dict[str, list[int]]
    candidates: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def when(self) -> datetime:
        return datetime.fromtimestamp(self.timestamp_ms / 1000, tz=UTC)


def held_out_requests(record: RunRecord, *, users: int) -> list[HeldOutRequest]:
    """Requests of ``users`` users in the first day of the test window, the same ones every time.

    A request's candidates are the items that the user was shown that day (each once), 5 to 20 of
    them and not all alike in the first task; time and context are those of the first.

    Raises:
        DataError: no such user.
    """
    import polars as pl

    definition = DatasetDefinition.parse(record.parameters["definition"])
    events = record.artifact("ingest", "events")
    assert events is not None, "a run that served has events"
    window = definition.split.test
    labels = {task: label_column(task) for task in definition.tasks}
    first = labels[definition.tasks[0]]
    files = sorted((events / "interactions").rglob("*.parquet"))
    shown = (
        pl.scan_parquet(files, glob=False, hive_partitioning=False)
        .filter(
            pl.col("event_time").is_between(
                window.start, window.start + timedelta(days=1), closed="left"
            )
        )
        .sort("event_time", "item_id")
        .unique(["user_id", "item_id"], keep="first", maintain_order=True)
        .group_by("user_id", maintain_order=True)
        .agg(
            pl.all(),
            first=pl.col("event_time").first(),
            mean=pl.col(first).mean(),
        )
        .filter(
            pl.col("item_id").list.len().is_between(MIN_CANDIDATES, MAX_CANDIDATES),
            pl.col("mean").is_between(0, 1, closed="none"),
        )
        .sort(pl.col("user_id").hash(seed=0), "user_id")
        .head(users)
        .collect()
    )
    if shown.is_empty():
        raise DataError("No user of the test window was shown five items in a day.")
    return [
        HeldOutRequest(
            request_id=f"heldout-{row['user_id']}",
            user_id=row["user_id"],
            item_ids=row["item_id"],
            context={name: spoken(row[name][0]) for name in definition.request_columns},
            candidates={
                name: [spoken(value) for value in row[name]]
                for name in definition.candidate_columns
            },
            timestamp_ms=int(row["first"].timestamp() * 1000),
            labels={task: row[column] for task, column in labels.items()},
        )
        for row in shown.iter_rows(named=True)
    ]


def spoken(value: Any) -> Any:
    """A value of the log as a request says it: what is missing is None."""
    return None if value in (MISSING_INT, MISSING_STRING) or value != value else value
