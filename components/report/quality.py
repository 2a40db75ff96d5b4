"""How good the model is, in rows for tables and one headline."""

from __future__ import annotations

from dataclasses import dataclass

from hemix.components.evaluate.results import (
    AS_LOGGED,
    BOOSTING,
    CANDIDATE,
    CHAMPION,
    POPULARITY,
    RULE,
    Interval,
    Results,
    TaskResult,
)
from hemix.components.validate_model.policy import lower_is_better

RIVALS = (CHAMPION, BOOSTING, RULE, POPULARITY)
NAMES = {AS_LOGGED: "candidate, as logged"}
HEADLINE = ("auc", "user_gauc", "ndcg_at_10", "mrr", "logloss")
"""Metrics of which none may be surely worse than a rival's for the candidate to be called better."""
METRICS = {
    "auc": ("AUC", "a positive above a negative"),
    "user_gauc": ("GAUC", "AUC inside a user, of one state a user"),
    "user_ndcg_at_10": ("NDCG@10 by user", "order inside a user, the first places most"),
    "user_mrr": ("MRR by user", "1 ÷ rank of a user's first positive"),
    "user_hit_rate_at_1": ("Hit rate@1 by user", "users whose first is a positive"),
    "impression_auc": ("Request AUC", "AUC inside a request"),
    "ndcg_at_10": ("NDCG@10", "order inside a request, the first places most"),
    "mrr": ("MRR", "1 ÷ rank of a request's first positive"),
    "hit_rate_at_1": ("Hit rate@1", "requests whose first is a positive"),
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
    """One task's table; ``users`` and ``requests`` have a positive and a negative; ``models`` are
    ``(name, label)`` of its columns."""

    task: str
    rate: float
    users: int
    requests: int
    models: tuple[tuple[str, str], ...]
    rows: tuple[MetricRow, ...]


@dataclass(frozen=True, kw_only=True)
class Against:
    """Candidate against a rival by all of :data:`HEADLINE`; ``gap`` is that of the AUC.

    ``better`` and ``worse`` name the metrics that surely are. ``verdict``: better, worse, mixed (some
    are better, some worse) or unclear.
    """

    rival: str
    label: str
    gap: Interval
    better: tuple[str, ...]
    worse: tuple[str, ...]

    @property
    def verdict(self) -> str:
        if self.better and self.worse:
            return "mixed"
        return "worse" if self.worse else "better" if self.better else "unclear"

    @property
    def sentence(self) -> str:
        """What is better and what is worse; empty when nothing surely is."""
        parts = (("better", self.better), ("worse", self.worse))
        return "; ".join(f"{word}: {', '.join(names)}" for word, names in parts if names)


@dataclass(frozen=True, kw_only=True)
class Headline:
    """The one number that matters: AUC of the first task, and how all compares with each rival."""

    task: str
    auc: Interval
    gaps: tuple[Against, ...]
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


def against(results: Results, task: str, rival: str) -> Against:
    """The paired differences of one task on every metric of :data:`HEADLINE`."""
    measured = results.tasks[task].differences[rival]
    found = {name: compare(results, task, name, rival) for name in HEADLINE if name in measured}
    named = {
        verdict: tuple(METRICS[name][0] for name, gap in found.items() if gap.verdict == verdict)
        for verdict in ("better", "worse")
    }
    return Against(
        rival=rival,
        label=label_of(results, rival),
        gap=found["auc"].gap,
        better=named["better"],
        worse=named["worse"],
    )


def headline(results: Results) -> Headline:
    """AUC of the definition's first task against every rival."""
    task = next(iter(results.tasks))
    auc = results.tasks[task].metrics[CANDIDATE]["auc"]
    return Headline(
        task=task,
        auc=auc,
        gaps=tuple(against(results, task, rival) for rival in _rivals(results)),
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
        if any(key in result.metrics[model] for model in models)
        and any(result.metrics[model][key].value is not None for model in models)
    )
    return TaskQuality(
        task=task,
        rate=result.rate,
        users=result.ordered_users,
        requests=result.ordered_requests,
        models=tuple((model, label_of(results, model)) for model in models),
        rows=rows,
    )


def _rivals(results: Results) -> tuple[str, ...]:
    present = {model.name for model in results.models}
    return tuple(name for name in RIVALS if name in present)
