"""The report's charts, as Altair charts in the colours of :mod:`hemix.components.pages.theme`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from hemix.components.evaluate.results import (
    BOOSTING,
    CANDIDATE,
    CHAMPION,
    POPULARITY,
    RULE,
    Results,
)
from hemix.components.evaluate.slices import ACTIVITY_NAMES, AGE_NAMES
from hemix.components.pages.theme import COLOURS
from hemix.components.report.facts import DataFacts

WIDTH = 400
SMALLEST_SLICE = 1000
"""Slices with fewer rows are in the table only: their intervals would flatten the picture."""
MODELS = (CANDIDATE, CHAMPION, BOOSTING, RULE, POPULARITY)
SPLITS = ("train", "validation", "test", "outside")


def _model_colour(models: Sequence[str], legend: bool = True) -> Any:
    import altair as alt

    return alt.Color(
        "model:N",
        scale=alt.Scale(domain=list(models), range=[COLOURS[name] for name in models]),
        legend=alt.Legend(title=None) if legend else None,
    )


def activity_chart(facts: DataFacts) -> Any:
    """Interactions a day (UTC), coloured by the window they fall in."""
    import altair as alt

    frame = pd.DataFrame(facts.days, columns=["day", "split", "rows"])
    present = [name for name in SPLITS if name in set(frame["split"])]
    frame["order"] = frame["split"].map({name: i for i, name in enumerate(present)})
    label = "timeFormat(toDate(datum.value), '%-d %b')"
    return (
        alt.Chart(frame)
        .mark_bar(cornerRadiusTopLeft=2, cornerRadiusTopRight=2)
        .encode(
            x=alt.X(
                "day:O",
                title=None,
                axis=alt.Axis(labelExpr=label, labelAngle=0, labelOverlap=True, ticks=False),
            ),
            y=alt.Y("rows:Q", title="impressions", axis=alt.Axis(format="~s", tickCount=5)),
            color=alt.Color(
                "split:N",
                scale=alt.Scale(domain=present, range=[COLOURS[name] for name in present]),
            ),
            order=alt.Order("order:Q"),
        )
        .properties(width=860, height=200)
    )


def interval_chart(results: Results, task: str, metric: str = "auc") -> Any:
    """One dot and interval a model."""
    rows = [
        {"model": name, "value": found.value, "low": found.low, "high": found.high}
        for name in MODELS
        if name in results.tasks[task].metrics
        for found in [results.tasks[task].metrics[name][metric]]
        if found.value is not None
    ]
    models = [str(row["model"]) for row in rows]
    return _dots(pd.DataFrame(rows), "model:N", models, metric.upper(), height=34 * len(rows))


def _dots(frame: pd.DataFrame, y: str, models: Sequence[str], title: str, height: int) -> Any:
    import altair as alt

    base = alt.Chart(frame).encode(
        y=alt.Y(y, sort=list(models), title=None, axis=alt.Axis(ticks=False, domain=False)),
        color=_model_colour(models, legend=False),
    )
    x = alt.X("low:Q", title=title, scale=alt.Scale(zero=False, padding=14))
    bars = base.mark_rule(strokeWidth=3, strokeCap="round", opacity=0.45).encode(x=x, x2="high:Q")
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(x="value:Q")
    text = base.mark_text(dy=-11, fontSize=11).encode(
        x="value:Q", text=alt.Text("value:Q", format=".4f")
    )
    return (bars + dots + text).properties(width=WIDTH, height=height)


def calibration_chart(results: Results, task: str) -> Any:
    """Observed against predicted rate in equal-mass bins; the line is perfect calibration."""
    import altair as alt

    curves = results.tasks[task].calibration
    models = [name for name in MODELS if name in curves and name != POPULARITY]
    frame = pd.DataFrame(
        [
            {"model": name, "predicted": p, "observed": o}
            for name in models
            for p, o in zip(curves[name].predicted, curves[name].observed, strict=True)
        ]
    )
    top = float(frame[["predicted", "observed"]].to_numpy().max()) * 1.05
    scale = alt.Scale(domain=[0, top], nice=True)
    diagonal = (
        alt.Chart(pd.DataFrame({"predicted": [0, top], "observed": [0, top]}))
        .mark_line(strokeDash=[4, 4], color=COLOURS["muted"], strokeWidth=1)
        .encode(x="predicted:Q", y="observed:Q")
    )
    axis = alt.Axis(format=".0%", tickCount=5)
    lines = (
        alt.Chart(frame)
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=36, filled=True))
        .encode(
            x=alt.X("predicted:Q", title="predicted", scale=scale, axis=axis),
            y=alt.Y("observed:Q", title="observed", scale=scale, axis=axis),
            color=_model_colour(models),
        )
    )
    return (diagonal + lines).properties(width=WIDTH, height=260)


def slice_chart(results: Results, task: str, dimension: str) -> Any:
    """AUC with intervals in each slice of one dimension: candidate beside its main rival."""
    import altair as alt

    found = [
        s
        for s in results.slices
        if s.task == task and s.dimension == dimension and s.rows >= SMALLEST_SLICE
    ]
    rival = CHAMPION if any(CHAMPION in s.auc for s in found) else BOOSTING
    models = [CANDIDATE, rival]
    frame = pd.DataFrame(
        [
            {
                "slice": s.slice,
                "model": name,
                "value": s.auc[name].value,
                "low": s.auc[name].low,
                "high": s.auc[name].high,
            }
            for s in found
            for name in models
            if s.auc[name].value is not None
        ]
    )
    if frame.empty:
        return None
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "slice:N",
            sort=_in_order([s.slice for s in found]),
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelLimit=140),
        ),
        yOffset=alt.YOffset("model:N", sort=models),
        color=_model_colour(models, legend=False),
    )
    x = alt.X(
        "low:Q", title="AUC", scale=alt.Scale(zero=False, padding=8), axis=alt.Axis(tickCount=4)
    )
    bars = base.mark_rule(strokeWidth=3, strokeCap="round", opacity=0.45).encode(x=x, x2="high:Q")
    dots = base.mark_point(filled=True, size=55, opacity=1).encode(x="value:Q")
    return (bars + dots).properties(width=190, height=alt.Step(12))


def _in_order(names: Sequence[str]) -> list[str]:
    """Slices with an order of their own in that order, then the rest, most rows first."""
    known = (*ACTIVITY_NAMES, *AGE_NAMES)
    return [*(name for name in known if name in names), *(n for n in names if n not in known)]


def curve_chart(frame: pd.DataFrame, y_title: str, series: Sequence[tuple[str, str]]) -> Any:
    """Lines over training steps; ``series`` are names and the colours they are drawn in."""
    import altair as alt

    names, colours = zip(*((name, COLOURS[colour]) for name, colour in series), strict=True)
    return (
        alt.Chart(frame)
        .mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=30, filled=True))
        .encode(
            x=alt.X("step:Q", title="training step", axis=alt.Axis(tickMinStep=1, format="~s")),
            y=alt.Y("value:Q", title=y_title, scale=alt.Scale(zero=False)),
            color=alt.Color(
                "series:N", scale=alt.Scale(domain=list(names), range=list(colours)), title=None
            ),
        )
        .properties(width=WIDTH, height=200)
    )
