"""The experiment's page: decision, split, metrics over time, guardrails, what was counted."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemix.components.experiment.charts import lift_chart, metrics_chart
from hemix.components.pages.drawing import svg_of
from hemix.components.pages.escaping import environment
from hemix.serving.experiments.design import Design
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.experiments.results import Analysis, Comparison, Decision

TEMPLATES = Path(__file__).with_name("templates")

VERDICTS = {
    "promote": ("Promote", "good"),
    "roll_back": ("Roll back", "bad"),
    "continue": ("Continue", ""),
    "none": ("No experiment", ""),
    "unusable": ("Logs cannot be used", "bad"),
}
KINDS = {
    "rate": "outcomes above 0 among outcomes",
    "per_request": "outcomes per request",
    "per_user": "outcomes per user",
    "auc": "AUC of the served order, mean over requests",
    "ndcg": "NDCG of the served order, mean over requests",
}
COUNTS = {
    "lines": "exposure lines read",
    "unreadable": "exposure lines that could not be read",
    "other_layers": "exposure lines that do not know the layer",
    "repeated": "exposure lines with a request id seen before (retries), counted once",
    "reused": "exposure lines whose request id was another request's too, left out",
    "other_epochs": "requests of another split, left out",
    "other_variants": "requests of variants or versions that are not in the experiment, left out",
    "strayed_users": "users with two variants, left out",
    "requests": "requests in the analysis",
    "users": "users in the analysis",
    "outcomes": "outcomes read",
    "outcomes_unreadable": "outcomes that could not be read",
    "orphans": "outcomes without any exposure",
    "before_log": "outcomes without any exposure, from before the first",
    "other_requests": "outcomes of requests that were left out (other splits)",
    "ambiguous": "outcomes of a request id that more than one request had",
    "foreign_items": "outcomes of items that were not in their request",
    "early": "outcomes before their request",
    "late": "outcomes after the attribution window",
    "duplicates": "outcomes that came again, counted once",
    "joined": "outcomes in the analysis",
}


@dataclass(frozen=True, kw_only=True)
class Notes:
    """What the page says beside the figures: where the traffic is from, and what it cannot show."""

    source: str = ""
    paragraphs: tuple[str, ...] = ()


def render(
    design: Design,
    analysis: Analysis | None,
    decision: Decision,
    policy: ExperimentPolicy,
    notes: Notes,
) -> str:
    """The whole HTML text; charts are inline SVG, styles are inline, nothing is fetched.

    Args:
        design: layer, arms and their planned shares.
        analysis: what was measured; None when no experiment runs.
        decision: what follows from it.
        policy: what it was judged by.
        notes: sentences beside the figures.
    """
    from markupsafe import Markup

    pages = environment(TEMPLATES)
    title, tone = VERDICTS[decision.verdict]
    comparison = _of(analysis, decision)
    return pages.get_template("page.html").render(
        design=design,
        analysis=analysis,
        decision=decision,
        policy=policy,
        notes=notes,
        verdict=title,
        tone=tone,
        comparison=comparison,
        primary=comparison.metrics[0] if comparison else None,
        pictures={name: Markup(svg) for name, svg in _pictures(comparison).items()},
        kinds=KINDS,
        count_names=COUNTS,
    )


def _of(analysis: Analysis | None, decision: Decision) -> Comparison | None:
    """The comparison that the decision speaks of."""
    comparisons = analysis.comparisons if analysis else ()
    return next((c for c in comparisons if c.arm == decision.arm), None)


def _pictures(comparison: Comparison | None) -> dict[str, str]:
    if comparison is None:
        return {}
    wanted: dict[str, Any] = {f"lift-{m.metric.name}": lift_chart(m) for m in comparison.metrics}
    wanted["metrics"] = metrics_chart(comparison.metrics)
    return {name: svg_of(chart, name) for name, chart in wanted.items() if chart is not None}
