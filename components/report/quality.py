"""How good the model is, in rows for tables and one headline."""

from __future__ import annotations

from dataclasses import dataclass

from hemix.components.evaluate.results import (
    AS_LOGGED,
    BOOSTING,
    CANDIDATE,
    CHAMPION,
    POPULARITY,
    Interval,
    Results,
    TaskResult,
)
from hemix.components.validate_model.policy import lower_is_better

RIVALS = (CHAMPION, BOOSTING, POPULARITY)
NAMES = {AS_LOGGED: "candidate, as logged"}
METRICS = {
    "auc": ("AUC", "a positive above a negative"),
    "gauc": ("GAUC", "AUC inside a user"),
    "impression_auc": ("Request AUC", "AUC inside a request"),
    "logloss": ("Log loss", "lower is better"),
    "normalized_entropy": ("Norm. entropy", "below 1 beats the base rate"),
    "pcoc": ("PCOC", "predicted ÷ observed"),
    "ece": ("ECE", "mean calibration gap"),
}


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Candidate minus rival: ``verdict`` is better, worse or unclear (the interval holds 0)."""

    rival: str
    label: str
    gap: Interval
    verdict: str


@dataclass(frozen=True, kw_only=True)
class MetricRow:
    """One metric of one task: a cell a model (None when it did not take part), and gaps."""

    key: str
    name: str
    help: str
    cells: tuple[Interval | None, ...]
    gaps: tuple[Comparison, ...]


@dataclass(frozen=True, kw_only=True)
class TaskQuality:
    """One task's table; ``models`` are ``(name, label)`` of its columns."""

    task: str
    rate: float
    models: tuple[tuple[str, str], ...]
    rows: tuple[MetricRow, ...]


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The one number that matters: AUC of the first task, and what it gains over each rival."""

    task: str
    auc: Interval
    gaps: tuple[Comparison, ...]
    in_hundred: int | None


def label_of(results: Results, model: str) -> str:
    """A model's name with its version, e.g. ``champion v1-1a2b``."""
    info = results.model(model)
    version = f" {info.version}" if info and info.version else ""
    return f"{NAMES.get(model, model)}{version}"


def compare(results: Results, task: str, metric: str, rival: str) -> Comparison:
    """The paired difference on one metric and what it says."""
    return _comparison(results, results.tasks[task], metric, rival)


def _comparison(results: Results, result: TaskResult, metric: str, rival: str) -> Comparison:
    gap = result.differences[rival][metric]
    verdict = "unclear"
    if gap.low is not None and gap.high is not None and metric != "pcoc":
        sign = -1 if lower_is_better(metric) else 1
        ends = sorted((sign * gap.low, sign * gap.high))
        verdict = "better" if ends[0] > 0 else "worse" if ends[1] < 0 else "unclear"
    return Comparison(rival=rival, label=label_of(results, rival), gap=gap, verdict=verdict)


def headline(results: Results) -> Headline:
    """AUC of the definition's first task against every rival."""
    task = next(iter(results.tasks))
    auc = results.tasks[task].metrics[CANDIDATE]["auc"]
    return Headline(
        task=task,
        auc=auc,
        gaps=tuple(compare(results, task, "auc", rival) for rival in _rivals(results)),
        in_hundred=None if auc.value is None else round(100 * auc.value),
    )


def qualities(results: Results) -> tuple[TaskQuality, ...]:
    """A table a task; metrics that no model could be given are left out."""
    return tuple(_quality(results, task, result) for task, result in results.tasks.items())


def within(results: Results) -> tuple[TaskQuality, ...]:
    """A table for each task that was learnt within another, over the rows of that."""
    return tuple(
        _quality(results, f"{task} where {found.given} is 1", found.result)
        for task, found in results.within.items()
    )


def _quality(results: Results, task: str, result: TaskResult) -> TaskQuality:
    logged = (AS_LOGGED,) if results.model(AS_LOGGED) else ()
    models = (CANDIDATE, *_rivals(results), *logged)
    rows = tuple(
        MetricRow(
            key=key,
            name=name,
            help=help_text,
            cells=tuple(result.metrics[model].get(key) for model in models),
            gaps=tuple(_comparison(results, result, key, rival) for rival in _rivals(results)),
        )
        for key, (name, help_text) in METRICS.items()
        if any(result.metrics[model][key].value is not None for model in models)
    )
    return TaskQuality(
        task=task,
        rate=result.rate,
        models=tuple((model, label_of(results, model)) for model in models),
        rows=rows,
    )


def _rivals(results: Results) -> tuple[str, ...]:
    present = {model.name for model in results.models}
    return tuple(name for name in RIVALS if name in present)
