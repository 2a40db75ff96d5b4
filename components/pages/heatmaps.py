"""Pictures of numbers over one axis (bars) or two (heat maps), in colours that follow the page.

They take the JSON form of :class:`hemix.models.pictures.Picture`, so that pages need no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from hemix.components.pages.drawing import drawable
from hemix.components.pages.theme import COLOURS

WIDTH = 820
LEGIBLE = 45
"""More places than this on an axis have every other name, or fewer."""


def chart_of(picture: Mapping[str, Any]) -> Any:
    """Bars or a heat map; None when no value is there."""
    if all(value is None for value in _flat(picture["values"])):
        return None
    return (_bars if len(picture["axes"]) == 1 else _heat)(picture)


def strongest(picture: Mapping[str, Any]) -> float:
    """The value that has the full colour: the farthest from the middle, or from 0."""
    middle = picture["middle"] or 0.0
    values = [value for value in _flat(picture["values"]) if value is not None]
    return max(values, key=lambda value: abs(value - middle), default=middle)


def _flat(values: Sequence[Any]) -> list[float | None]:
    return [v for line in values for v in (line if isinstance(line, list) else [line])]


def _heat(picture: Mapping[str, Any]) -> Any:
    """Full colour is far from the middle: blue above it, orange below; nothing is the page."""
    import altair as alt

    down, across = picture["axes"]
    middle = picture["middle"] or 0.0
    rows = [
        {"down": i, "across": j, "value": v, "far": abs(v - middle), "above": v >= middle}
        for i, line in enumerate(picture["values"])
        for j, v in enumerate(line)
        if v is not None
    ]
    frame = pd.DataFrame(rows)
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
    return min(26.0, max(4.0, WIDTH * 0.8 / count))


def _axis(labels: Sequence[str], *, angle: int) -> Any:
    import altair as alt

    step = -(-len(labels) // (3 * LEGIBLE))
    return alt.Axis(
        labelExpr=f"{json.dumps([drawable(label) for label in labels])}[datum.value]",
        values=list(range(0, len(labels), step)),
        labelAngle=angle,
        labelLimit=150,
        labelFontSize=11 if len(labels) <= LEGIBLE else 8,
        labelOverlap=False,
        domain=False,
        ticks=False,
        grid=False,
    )
