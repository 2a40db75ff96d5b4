"""Pictures of numbers over one axis (bars) or two (heat maps), in colours that follow the page.

They take the JSON form of :class:`hemix.models.pictures.Picture`, so that pages need no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from hemix.components.pages.drawing import drawable, svg_of
from hemix.components.pages.theme import COLOURS

WIDTH = 820
MOST = 45
"""A heat map shows so many places of an axis: the strongest, in their order."""


def chart_of(picture: Mapping[str, Any]) -> Any:
    """Bars or a heat map; None when no value is there."""
    if all(value is None for value in _flat(picture["values"])):
        return None
    return (_bars if len(picture["axes"]) == 1 else _heat)(picture)


def drawn(pictures: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Pictures with what a template shows: the SVG, which values have no colour and the full one, and
    whether the picture before is read in the same way."""
    from markupsafe import Markup

    found: list[dict[str, Any]] = []
    for number, picture in enumerate(pictures):
        chart = chart_of(picture)
        if chart is not None:
            svg = Markup(svg_of(chart, f"{picture['about']}-{number}"))
            heat = len(picture["axes"]) == 2
            colours = {"pale": palest(picture), "full": strongest(picture)} if heat else {}
            said = bool(found) and found[-1]["reading"] == picture["reading"]
            found.append({**picture, **colours, "svg": svg, "heat": heat, "said": said})
    return found


def palest(picture: Mapping[str, Any]) -> float:
    """The value without colour: the middle; else 0, or the least where all are far from it."""
    if picture["middle"] is not None:
        return float(picture["middle"])
    values = [value for value in _flat(picture["values"]) if value is not None]
    least, most = min(values, default=0.0), max(values, default=0.0)
    return least if 0 < 0.5 * most < least < most else 0.0


def strongest(picture: Mapping[str, Any]) -> float:
    """The value of the full colour: the farthest from the palest."""
    middle = palest(picture)
    values = [value for value in _flat(picture["values"]) if value is not None]
    return max(values, key=lambda value: abs(value - middle), default=middle)


def _flat(values: Sequence[Any]) -> list[float | None]:
    return [v for line in values for v in (line if isinstance(line, list) else [line])]


def _heat(picture: Mapping[str, Any]) -> Any:
    """Full colour is far from the middle: blue above it, orange below; nothing is the page."""
    import altair as alt

    middle = palest(picture)
    (down, across), values = _strongest_places(picture, middle)
    frame = pd.DataFrame(
        {"down": i, "across": j, "far": abs(v - middle), "above": v >= middle}
        for i, line in enumerate(values)
        for j, v in enumerate(line)
        if v is not None
    )
    most = float(frame["far"].max()) or 1.0
    if picture["middle"] == 1.0:  # times an even share: what is nearly even should look so
        most = max(most, 0.5)
    size = _cell(len(across["labels"]))
    base = alt.Chart(frame).encode(
        x=alt.X("across:O", title=across["title"], axis=_axis(across["labels"], angle=-90)),
        y=alt.Y("down:O", title=down["title"], axis=_axis(down["labels"], angle=0)),
    )
    colour = alt.condition(
        "datum.above", alt.value(COLOURS["candidate"]), alt.value(COLOURS["champion"])
    )
    cells = base.mark_rect(stroke=COLOURS["card"], strokeWidth=1 if size > 7 else 0).encode(
        color=colour,
        opacity=alt.Opacity(
            "far:Q", scale=alt.Scale(domain=[0, most], range=[0.04, 1]), legend=None
        ),
    )
    height = max(_cell(len(down["labels"])), 16 if len(down["labels"]) < 30 else 0)
    return cells.properties(width=size * len(across["labels"]), height=height * len(down["labels"]))


def _strongest_places(
    picture: Mapping[str, Any], middle: float
) -> tuple[list[dict[str, Any]], list[list[float | None]]]:
    """Axes and values cut to :data:`MOST` places each; an axis that is cut says so."""
    axes, values = list(picture["axes"]), picture["values"]
    far = np.abs(np.array(values, dtype=float) - middle)
    sums = [np.nansum(far, axis=1), np.nansum(far, axis=0)]
    if axes[0]["labels"] == axes[1]["labels"]:  # pairs of the same: the same on both
        sums = [sums[0] + sums[1]] * 2
    kept = [np.sort(np.argsort(-each, kind="stable")[:MOST]) for each in sums]
    for at, (axis, places) in enumerate(zip(axes, kept, strict=True)):
        if len(places) < len(axis["labels"]):
            title = f"{axis['title']} ({len(places)} of {len(axis['labels'])}, the strongest)"
            axes[at] = {"title": title, "labels": [axis["labels"][place] for place in places]}
    return axes, [[values[i][j] for j in kept[1]] for i in kept[0]]


def _bars(picture: Mapping[str, Any]) -> Any:
    import altair as alt

    (axis,) = picture["axes"]
    frame = pd.DataFrame(
        {
            "at": range(len(axis["labels"])),
            "value": picture["values"],
        }
    ).dropna()
    return (
        alt.Chart(frame)
        .mark_bar(color=COLOURS["candidate"], height={"band": 0.7})
        .encode(
            x=alt.X("value:Q", title=picture["unit"], axis=alt.Axis(tickCount=6)),
            y=alt.Y("at:O", title=axis["title"] or None, axis=_axis(axis["labels"], angle=0)),
        )
        .properties(width=WIDTH - 220, height=18 * len(axis["labels"]))
    )


def _cell(count: int) -> float:
    """Edge of a cell: readable, and all of them on the page."""
    return min(26.0, WIDTH * 0.8 / count)


def _axis(labels: Sequence[str], *, angle: int) -> Any:
    import altair as alt

    return alt.Axis(
        labelExpr=f"{json.dumps([drawable(label) for label in labels])}[datum.value]",
        labelAngle=angle,
        labelLimit=150,
        labelFontSize=11 if len(labels) <= 30 else 10,
        labelOverlap=False,
        domain=False,
        ticks=False,
        grid=False,
    )
