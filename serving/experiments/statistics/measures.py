"""A number for each request and metric: numerator and denominator, both 0 where it does not count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import orjson

from hemix.errors import DefinitionError
from hemix.models.metrics.pointwise import grouped_auc
from hemix.serving.experiments.policy import Metric
from hemix.serving.experiments.statistics.effects import Floats
from hemix.serving.experiments.statistics.moments import Codes
from hemix.serving.messages.answer import (
    FEATURES_UNAVAILABLE,
    PREDICTOR_UNAVAILABLE,
    VERSION_UNAVAILABLE,
)

if TYPE_CHECKING:
    import polars as pl

DEGRADED = (FEATURES_UNAVAILABLE, PREDICTOR_UNAVAILABLE, VERSION_UNAVAILABLE)
"""Flags of an answer that was not made the way its variant should make it."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """Numerator and denominator of each request ``[R]``."""

    numbers: Floats
    sizes: Floats


@dataclass(frozen=True, kw_only=True)
class Table:
    """Requests in order of time, with codes of their users, and what followed each.

    ``shown`` has a row an outcome: ``request`` (row of the request), task, value, ``place`` (in the
    served order, 0 is first) and ``predicted`` (the score of its task).
    """

    requests: pl.DataFrame
    users: Codes
    shown: pl.DataFrame
    tasks: tuple[str, ...]

    @property
    def rows(self) -> int:
        return self.requests.height


def table_of(requests: pl.DataFrame, outcomes: pl.DataFrame, tasks: tuple[str, ...]) -> Table:
    """Number the requests and users, and place each outcome in its request's served order."""
    import polars as pl

    numbered = requests.with_row_index("request")
    users = numbered["user_id"].rank("dense").to_numpy().astype(np.int64) - 1
    wanted = numbered.join(outcomes.select("request_id").unique(), on="request_id", how="semi")
    places = _places(wanted, tasks)
    shown = outcomes.join(
        numbered.select("request", "request_id"), on="request_id", how="inner"
    ).join(places, on=["request", "position"], how="left")
    scores = [pl.when(pl.col("task") == task).then(pl.col(f"scores_{task}")) for task in tasks]
    predicted = pl.coalesce(scores) if scores else pl.lit(None, dtype=pl.Float32)
    return Table(
        requests=numbered,
        users=users,
        shown=shown.with_columns(predicted=predicted.cast(pl.Float64)).select(
            "request", "task", "value", "place", "predicted"
        ),
        tasks=tasks,
    )


def _places(requests: pl.DataFrame, tasks: tuple[str, ...]) -> pl.DataFrame:
    """Place in the served order and scores of every candidate of ``requests``."""
    import polars as pl

    columns = [f"scores_{task}" for task in tasks]
    scored = requests.filter(pl.col("error") == "") if tasks else requests.clear()
    rows = (
        scored.select("request", "order", *columns)
        .with_columns(position=pl.int_ranges(pl.col(columns[0]).list.len() if tasks else 0))
        .explode("position", *columns)
    )
    final = pl.col(columns[0]) if tasks else pl.lit(0.0, dtype=pl.Float32)
    # As hemix.serving.messages.answer.final_scores: float32, task by task.
    for text in rows["order"].drop_nulls().unique().to_list():
        total = pl.lit(0.0, dtype=pl.Float32)
        for task, weight in orjson.loads(text).items():
            total = total + pl.lit(weight, dtype=pl.Float32) * pl.col(f"scores_{task}")
        final = pl.when(pl.col("order") == text).then(total).otherwise(final)
    return (
        rows.with_columns(final=final)
        .sort("request", "final", "position", descending=[False, True, False])
        .with_columns(place=pl.int_range(pl.len()).over("request"))
        .drop("order", "final")
    )


def values_of(metric: Metric, table: Table) -> Values:
    """The metric's numbers; DefinitionError when no outcome has its task."""
    shown = _of_task(table, metric.task, f"metric {metric.name}")
    if metric.ordering:
        return _ordering(metric, shown, table.rows)
    rows, values = shown
    numbers = _sums(rows, values["value"], table.rows)
    if metric.kind == "rate":
        return Values(numbers=numbers, sizes=_sums(rows, np.ones(rows.size), table.rows))
    sizes = np.ones(table.rows)
    if metric.kind == "per_user":
        sizes = np.zeros(table.rows)
        sizes[np.unique(table.users, return_index=True)[1]] = 1.0
    return Values(numbers=numbers, sizes=sizes)


def errors_of(table: Table) -> Values:
    """1 for a request that failed or was served degraded."""
    import polars as pl

    flags = pl.col("flags")
    bad = pl.any_horizontal(pl.col("error") != "", *(flags.list.contains(f) for f in DEGRADED))
    numbers = table.requests.select(bad.cast(pl.Float64)).to_series().to_numpy()
    return Values(numbers=numbers, sizes=np.ones(table.rows))


def calibration_of(task: str, table: Table) -> Values:
    """Predicted over observed: the sum of predictions and of values of the items with outcomes."""
    rows, values = _of_task(table, task, f"guardrails.calibration.{task}")
    known = ~np.isnan(values["predicted"])
    rows = rows[known]
    return Values(
        numbers=_sums(rows, values["predicted"][known], table.rows),
        sizes=_sums(rows, values["value"][known], table.rows),
    )


def _of_task(table: Table, task: str, what: str) -> tuple[Codes, dict[str, Floats]]:
    import polars as pl

    rows = table.shown.filter(pl.col("task") == task)
    if rows.is_empty() and table.shown.height:
        known = ", ".join(table.shown["task"].unique().sort().to_list())
        raise DefinitionError(
            f"{what}: no outcome has the task {task!r}.", hint=f"Outcomes have: {known}."
        )
    columns = {
        name: rows[name].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        for name in ("value", "place", "predicted")
    }
    return rows["request"].to_numpy().astype(np.int64), columns


def _sums(rows: Codes, weights: Floats, length: int) -> Floats:
    return np.bincount(rows, weights=weights, minlength=length).astype(np.float64)


def _ordering(metric: Metric, shown: tuple[Codes, dict[str, Floats]], length: int) -> Values:
    """AUC or NDCG of the served order inside each request that has values above and at 0."""
    rows, columns = shown
    known = ~np.isnan(columns["place"])
    rows, places, gains = rows[known], columns["place"][known], columns["value"][known]
    numbers, sizes = np.zeros(length), np.zeros(length)
    if not rows.size:
        return Values(numbers=numbers, sizes=sizes)
    present, groups = np.unique(rows, return_inverse=True)
    positive = (gains > 0).astype(np.float64)
    shares = np.bincount(groups, weights=positive) / np.bincount(groups)
    mixed = (shares > 0) & (shares < 1)
    if metric.kind == "auc":
        found, _ = grouped_auc(positive, -places, groups)
    else:
        best = _dcg(groups, -gains, gains, metric.top)
        with np.errstate(divide="ignore", invalid="ignore"):
            found = _dcg(groups, places, gains, metric.top) / best
    numbers[present[mixed]] = found[mixed]
    sizes[present[mixed]] = 1.0
    return Values(numbers=numbers, sizes=sizes)


def _dcg(groups: Codes, keys: Floats, gains: Floats, top: int) -> Floats:
    """Σ gain / log2(2 + place) over the first ``top`` of each group, ordered by ``keys``."""
    order = np.lexsort((keys, groups))
    groups, gains = groups[order], gains[order]
    first = np.searchsorted(groups, groups)
    place = np.arange(groups.size) - first
    counted = np.where(place < top, gains / np.log2(place + 2), 0.0)
    return _sums(groups, counted, int(groups[-1]) + 1)
