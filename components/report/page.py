"""The page: parts and charts go into the templates beside this module."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from hemix.components.evaluate.feature_facts import Features
from hemix.components.evaluate.results import Results
from hemix.components.pages.drawing import svg_of
from hemix.components.pages.escaping import environment
from hemix.components.pages.heatmaps import drawn
from hemix.components.report import charts
from hemix.components.report.facts import DataFacts
from hemix.components.report.features import features_view
from hemix.components.report.lineage import DeploymentView, ModelView, RunView
from hemix.components.report.parts import Gate, Missing, stopped_by
from hemix.components.report.quality import headline, label_of, qualities, within
from hemix.components.report.training import TASK_COLOURS, TrainingView
from hemix.components.validate_model.policy import LATENCY
from hemix.features.definition import DatasetDefinition
from hemix.spec import FeatureSpec
from hemix.verdict import Check

TEMPLATES = Path(__file__).with_name("templates")
MOST_INSIDE = 6
"""So many pictures of what the ranker looks at; hemix explain has the rest."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Page:
    """All parts; one that is :class:`Missing` says why."""

    definition: DatasetDefinition
    gates: tuple[Gate, ...]
    facts: DataFacts | Missing
    spec: FeatureSpec | Missing
    training: TrainingView | Missing
    model: ModelView | Missing
    results: Results | Missing
    features: Features | Missing
    deployment: DeploymentView | Missing
    run: RunView | Missing
    inside: tuple[Mapping[str, Any], ...] = ()
    """Pictures of what the ranker looks at, in JSON form."""


def render(page: Page) -> str:
    """The whole HTML text; charts are inline SVG, styles are inline, nothing is fetched."""
    from markupsafe import Markup

    pages = environment(TEMPLATES)
    pages.filters["svg"] = Markup
    pages.tests["missing"] = lambda part: isinstance(part, Missing)
    return pages.get_template("page.html").render(
        page=page,
        stopped=stopped_by(page.gates),
        headline=_with(page.results, headline),
        qualities=_with(page.results, qualities),
        within=_with(page.results, within),
        features=_with(page.features, features_view),
        candidate=_with(page.results, lambda results: label_of(results, "candidate")),
        latency=_latency(page.gates),
        pictures={name: Markup(svg) for name, svg in _pictures(page).items()},
        dimensions=_dimensions(page.results),
        inside=drawn(page.inside[:MOST_INSIDE]),
        more_inside=len(page.inside[MOST_INSIDE:]),
    )


def _with(part: T | Missing, work: Callable[[T], Any]) -> Any:
    return None if isinstance(part, Missing) else work(part)


def _latency(gates: tuple[Gate, ...]) -> Check | None:
    checks = [check for gate in gates for check in gate.checks if check.check == LATENCY]
    return checks[0] if checks else None


def _dimensions(results: Results | Missing) -> list[str]:
    if isinstance(results, Missing):
        return []
    return list(dict.fromkeys(found.dimension for found in results.slices))


def _pictures(page: Page) -> dict[str, str]:
    """Name -> SVG of every chart whose part is there."""
    wanted: dict[str, Any] = {}
    if not isinstance(page.facts, Missing) and page.facts.days:
        wanted["activity"] = charts.activity_chart(page.facts)
    if not isinstance(page.training, Missing):
        training = page.training
        pair = [("training", "popularity"), ("validation", "candidate")]
        if len(training.loss):
            wanted["loss"] = charts.curve_chart(training.loss, "log loss, all tasks", pair)
        if len(training.auc):
            series = list(zip(training.tasks, TASK_COLOURS, strict=False))
            wanted["validation"] = charts.curve_chart(training.auc, "validation AUC", series)
    if not isinstance(page.results, Missing):
        results = page.results
        for task, result in results.tasks.items():
            if result.metrics["candidate"]["auc"].value is not None:
                wanted[f"auc-{task}"] = charts.interval_chart(results, task)
            wanted[f"calibration-{task}"] = charts.calibration_chart(results, task)
            for dimension in _dimensions(results):
                wanted[f"slice-{dimension}-{task}"] = charts.slice_chart(results, task, dimension)
    return {name: svg_of(chart, name) for name, chart in wanted.items() if chart is not None}
