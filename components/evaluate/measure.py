"""From labels and scores to intervals: every metric a model and task, paired differences, slices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hemix.components.evaluate.results import (
    CANDIDATE,
    CalibrationCurve,
    Interval,
    SliceResult,
    TaskResult,
    WithinResult,
)
from hemix.components.evaluate.shared import BY_REQUEST, BY_USER
from hemix.models.metrics import pointwise as metrics
from hemix.models.metrics.bootstrap import METRICS, Estimate, UserBootstrap
from hemix.models.metrics.calibration import calibration_bins
from hemix.models.metrics.per_request import PER_REQUEST, ordered
from hemix.models.metrics.within_user import PER_USER
from hemix.progress import progress

Labels = NDArray[np.int8]
Scores = NDArray[np.float32]
SMALLEST_SLICE = 100
"""Slices with fewer rows are left out: their intervals say nothing."""
IN_REQUEST = ("impression_auc", *PER_REQUEST)
FEWEST_GROUPS = 30
"""A mean over fewer users or requests with both classes is not reported."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """The test rows: ``labels[task] [B]``, ``scores[model][task] [B]``, codes of requests ``[B]``.

    ``scores`` are of each row's own state. ``shared[kind]`` holds the same of one state a user or a
    request (:mod:`hemix.components.evaluate.shared`), from which metrics within these are made. A
    kind that is absent: metrics within a user are left out, those within a request are of ``scores``.
    """

    draws: UserBootstrap
    requests: NDArray[np.int64]
    labels: Mapping[str, Labels]
    scores: Mapping[str, Mapping[str, Scores]]
    shared: Mapping[str, Mapping[str, Mapping[str, Scores]]] = field(default_factory=dict)

    @property
    def rivals(self) -> tuple[str, ...]:
        return tuple(name for name in self.scores if name != CANDIDATE)

    def asked_by(self, metric: str) -> Mapping[str, Mapping[str, Scores]]:
        """The scores ``[model][task]`` that a metric is made of."""
        kind = BY_USER if metric in PER_USER else BY_REQUEST if metric in IN_REQUEST else ""
        return self.shared.get(kind, self.scores)


def measure_task(sample: Sample, task: str) -> TaskResult:
    """Metrics, differences and calibration of one task."""
    labels = sample.labels[task]
    reason = metrics.undefined(labels)
    left_out = _too_few_groups(sample, labels)
    estimates: dict[str, dict[str, Estimate]] = {}
    for model in progress(sample.scores, f"evaluate: bootstrap of {task}"):
        estimates[model] = {
            name: sample.draws.metric(
                name, labels, sample.asked_by(name)[model][task], sample.requests
            )
            for name in METRICS
            if name not in left_out
        }
    return TaskResult(
        positives=int(labels.sum()),
        ordered_users=ordered(labels, sample.draws.users),
        ordered_requests=ordered(labels, sample.requests),
        rate=float(labels.mean()),
        metrics={
            model: {name: Interval.of(e, reason) for name, e in values.items()} | left_out
            for model, values in estimates.items()
        },
        differences={
            rival: {
                name: Interval.of(
                    sample.draws.difference(estimates[CANDIDATE][name], estimates[rival][name]),
                    reason,
                )
                for name in estimates[rival]
            }
            | left_out
            for rival in sample.rivals
        },
        calibration={model: _curve(labels, sample.scores[model][task]) for model in sample.scores},
    )


def measure_within(sample: Sample, given: Mapping[str, str]) -> dict[str, WithinResult]:
    """Tasks within others (``given``: task -> the other) over the rows where the other's label is 1."""
    found = {}
    for task, parent in given.items():
        rows = np.flatnonzero(sample.labels[parent] > 0)
        if not rows.size:
            continue

        def own(
            of: Mapping[str, Mapping[str, Scores]],
            task: str = task, parent: str = parent, rows: NDArray[np.int64] = rows,
        ) -> dict[str, dict[str, Scores]]:  # fmt: skip
            return {
                model: {task: metrics.conditional(scores, task, parent)[rows].astype(np.float32)}
                for model, scores in of.items()
            }

        part = Sample(
            draws=sample.draws.subset(rows),
            requests=sample.requests[rows],
            labels={task: sample.labels[task][rows]},
            scores=own(sample.scores),
            shared={kind: own(scores) for kind, scores in sample.shared.items()},
        )
        result = measure_task(part, task)
        found[task] = WithinResult(given=parent, rows=rows.size, result=result)
    return found


def measure_slices(
    sample: Sample, slices: Mapping[str, NDArray[np.object_]]
) -> tuple[SliceResult, ...]:
    """AUC of every model in every slice of at least :data:`SMALLEST_SLICE` rows."""
    wanted = [(dimension, name) for dimension, names in slices.items() for name in _order(names)]
    found: list[SliceResult] = []
    for dimension, name in progress(wanted, "evaluate: slices"):
        rows = np.flatnonzero(slices[dimension] == name)
        if rows.size < SMALLEST_SLICE:
            continue
        draws = sample.draws.subset(rows)
        for task, labels in sample.labels.items():
            own = labels[rows]
            reason = metrics.undefined(own)
            auc = {
                model: draws.metric("auc", own, scores[task][rows])
                for model, scores in sample.scores.items()
            }
            found.append(
                SliceResult(
                    dimension=dimension,
                    slice=name,
                    task=task,
                    rows=rows.size,
                    users=np.unique(draws.users).size,
                    positives=int(own.sum()),
                    auc={model: Interval.of(e, reason) for model, e in auc.items()},
                    difference={
                        rival: Interval.of(draws.difference(auc[CANDIDATE], auc[rival]), reason)
                        for rival in sample.rivals
                    },
                )
            )
    return tuple(found)


def _order(names: NDArray[np.object_]) -> list[str]:
    """Most rows first; ties by name, so that the document does not depend on row order."""
    unique, counts = np.unique(names.astype(str), return_counts=True)
    return [str(unique[i]) for i in np.lexsort((unique, -counts))]


def _too_few_groups(sample: Sample, labels: Labels) -> dict[str, Interval]:
    """Grouped metrics that too few groups with both classes stand behind, undefined and why."""
    left_out: dict[str, Interval] = {}
    if BY_USER not in sample.shared:
        note = "the rows were not scored on one state a user"
        left_out |= {metric: Interval(value=None, note=note) for metric in PER_USER}
    for metric, group, codes in (
        *((metric, "users", sample.draws.users) for metric in PER_USER),
        *((metric, "requests", sample.requests) for metric in IN_REQUEST),
    ):
        known = ordered(labels, codes)
        if known < FEWEST_GROUPS:
            note = f"{known} {group} have both classes, fewer than {FEWEST_GROUPS}"
            left_out[metric] = Interval(value=None, note=note)
    return left_out


def _curve(labels: Labels, scores: Scores) -> CalibrationCurve:
    bins = calibration_bins(labels, scores)
    return CalibrationCurve(
        rows=tuple(int(n) for n in bins.rows),
        predicted=tuple(float(p) for p in bins.predicted),
        observed=tuple(float(p) for p in bins.observed),
    )
