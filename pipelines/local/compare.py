"""Several runs beside each other: their metrics, and the first one's gaps on the same test rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hemix.components.evaluate.measure import Sample, measure_task
from hemix.components.evaluate.results import (
    CANDIDATE,
    PREDICTIONS_FILE,
    Interval,
    Results,
    prediction_column,
    shared_column,
)
from hemix.components.evaluate.shared import BY_REQUEST, BY_USER
from hemix.components.pages.theme import COLOURS
from hemix.errors import DataError, StorageError
from hemix.features.schema import label_column
from hemix.models.metrics.bootstrap import UserBootstrap
from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord

KEYS = ["request_id", "user_id", "item_id", "event_time"]
FIRST = "first"


@dataclass(frozen=True, kw_only=True)
class ComparedRun:
    """One run: what it is called, what it is, and what its candidate reached.

    ``gaps[task][metric]`` is this run minus the first, paired, on the same test rows; empty for the
    first, and where the rows are not the same, which ``note`` then says.
    """

    label: str
    record: RunRecord
    results: Results
    gaps: dict[str, dict[str, Interval]]
    note: str = ""

    def metric(self, task: str, name: str) -> Interval | None:
        """The candidate's; None when it was not measured."""
        result = self.results.tasks.get(task)
        return None if result is None else result.metrics[CANDIDATE].get(name)


def compare(places: Sequence[str]) -> tuple[ComparedRun, ...]:
    """Read the runs at ``places``: output folders (their latest run), or records ``runs/V.json``.

    Raises:
        DataError: fewer than two, or one twice.
        StorageError: a place holds no run, or the run was not evaluated.
    """
    if len(places) < 2:
        raise DataError("Give two runs or more: output folders, or records runs/VERSION.json.")
    records = [_record(place) for place in places]
    evaluations = [_evaluation(record, at) for record, at in zip(records, places, strict=True)]
    names = [record.version for record in records]
    if len(set(evaluations)) < len(evaluations):
        raise DataError(f"One run stands twice: {', '.join(names)}.")
    runs: list[ComparedRun] = []
    for place, record, evaluation in zip(places, records, evaluations, strict=True):
        twice = names.count(record.version) > 1
        label = f"{record.version} ({place})" if twice else record.version
        gaps, note = ({}, "") if not runs else _gaps(evaluations[0], evaluation)
        results = Results.read(evaluation)
        runs.append(ComparedRun(label=label, record=record, results=results, gaps=gaps, note=note))
    return tuple(runs)


def tasks_of(runs: Sequence[ComparedRun]) -> list[str]:
    """All tasks, in the order of the runs."""
    return list(dict.fromkeys(task for run in runs for task in run.results.tasks))


def chart(runs: Sequence[ComparedRun], metric: str, title: str) -> Any:
    """A dot and an interval for each run and task, an Altair chart."""
    import altair as alt
    import pandas as pd

    rows = [
        {"run": run.label, "task": task, "value": got.value, "low": got.low, "high": got.high}
        for run in runs
        for task in run.results.tasks
        for got in [run.metric(task, metric)]
        if got is not None and got.value is not None
    ]
    if not rows:
        raise DataError(f"No run has {title}.")
    base = alt.Chart(pd.DataFrame(rows)).encode(
        y=alt.Y("run:N", sort=[run.label for run in runs], title=None),
        color=alt.value(COLOURS["candidate"]),
    )
    x = alt.X("low:Q", title=title, scale=alt.Scale(zero=False, padding=14))
    bars = base.mark_rule(strokeWidth=3, strokeCap="round", opacity=0.45).encode(x=x, x2="high:Q")
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(x="value:Q")
    text = base.mark_text(dy=-11, fontSize=11).encode(
        x="value:Q", text=alt.Text("value:Q", format=".4f")
    )
    one = (bars + dots + text).properties(width=400, height=40 * len(runs))
    return one.facet(row=alt.Row("task:N", title=None, sort=tasks_of(runs))).resolve_scale(
        x="independent"
    )


def _record(place: str) -> RunRecord:
    if place.endswith(".json"):
        return RunRecord.read(place)
    return RunRecord.read(RunFolder.at(place).record)


def _evaluation(record: RunRecord, place: str) -> Path:
    found = record.artifact("evaluate", "evaluation")
    if found is None or not (found / PREDICTIONS_FILE).exists():
        raise StorageError(
            f"{place}: run {record.version} was not evaluated ({record.status}).",
            hint="Run it to its end first: hemix run.",
        )
    return found


def _gaps(first: Path, other: Path) -> tuple[dict[str, dict[str, Interval]], str]:
    """Paired gaps of every metric of tasks that both have, or why there are none."""
    import pyarrow.parquet as pq

    tables = [pq.read_table(folder / PREDICTIONS_FILE) for folder in (first, other)]
    mine, theirs = tables
    if mine.num_rows != theirs.num_rows or not all(
        mine[key].equals(theirs[key].cast(mine[key].type)) for key in KEYS
    ):
        return {}, "other test rows than the first run's: nothing is paired"
    settings = Results.read(first).bootstrap
    users = mine["user_id"].to_numpy(zero_copy_only=False)
    requests = mine["request_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    draws = UserBootstrap.draw(users, replicates=settings.replicates, seed=settings.seed)
    gaps: dict[str, dict[str, Interval]] = {}
    for task in Results.read(other).tasks:
        name = prediction_column(CANDIDATE, task)
        labels = label_column(task)
        if name not in mine.column_names or not mine[labels].equals(theirs[labels]):
            continue
        sample = Sample(
            draws=draws,
            requests=requests.astype(np.int64),
            labels={task: mine[labels].to_numpy()},
            scores=_both(mine, theirs, name, task),
            shared={
                kind: _both(mine, theirs, column, task)
                for kind in (BY_USER, BY_REQUEST)
                for column in [shared_column(kind, CANDIDATE, task)]
                if column in mine.column_names and column in theirs.column_names
            },
        )
        gaps[task] = measure_task(sample, task).differences[FIRST]
    return gaps, "" if gaps else "other labels than the first run's: nothing is paired"


def _both(mine: Any, theirs: Any, column: str, task: str) -> dict[str, dict[str, Any]]:
    """A column of scores of both runs, as a sample has them."""
    return {
        CANDIDATE: {task: theirs[column].to_numpy()},
        FIRST: {task: mine[column].to_numpy()},
    }
