"""The page of a study: what was found, how the search went, which field mattered."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hemix.components.pages.drawing import svg_of
from hemix.components.pages.escaping import environment
from hemix.components.report.tuning_charts import (
    deviation,
    ordered_fields,
    pictures,
    short,
    text_of,
)
from hemix.models.tuning.results import Outcome, Results

TEMPLATES = Path(__file__).with_name("templates")
SHOWN = 10
"""Trials in the table of the best."""


@dataclass(frozen=True, kw_only=True)
class StudyNotes:
    """What the trials do not say: the data set, the run's version, rows, and the recipe's file."""

    dataset: str
    version: str
    train_rows: int
    validation_rows: int
    best: str


def render_study(results: Results, notes: StudyNotes) -> str:
    """The whole HTML text; charts are inline SVG, styles are inline, nothing is fetched."""
    from markupsafe import Markup

    pages = environment(TEMPLATES, {"field": short, "value": text_of, "deviation": deviation})
    drawn = pictures(results)
    return pages.get_template("tuning.html").render(
        results=results,
        notes=notes,
        base=results.settings.base,
        tasks=list(results.best.auc) if results.best else [],
        fields=ordered_fields(results),
        changes=results.changes(),
        outcomes=outcomes(results),
        best=results.trained[:SHOWN],
        pictures={name: Markup(svg_of(chart, name)) for name, chart in drawn.items()},
    )


def outcomes(results: Results) -> dict[Outcome, int]:
    """How many trials ended how."""
    found: dict[Outcome, int] = {}
    for row in results.trials:
        found[row.outcome] = found.get(row.outcome, 0) + 1
    return found
