"""Charts of a study: history, curves, parallel coordinates, each field against the value, importance."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from hemix.components.pages.theme import COLOURS
from hemix.models.search_space import Choice, Domain, Range, Value
from hemix.models.tuning.results import Results, TrialRow

WIDE = 860
NARROW = 220
TOP_SHARE = 0.2
"""Share of the trained trials that are drawn as the best ones."""
GROUPS = {"best fifth": "candidate", "trained": "train", "stopped early": "popularity"}
SHORTEST = 3
"""Fewer trained trials make no picture."""


def short(field: str) -> str:
    """``model.embedding.width`` as ``embedding width``."""
    return field.partition(".")[2].replace(".", " ").replace("_", " ")


def text_of(value: Value) -> str:
    """A value as people write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}"
    return "none" if value is None else str(value)


def groups(results: Results) -> dict[int, str]:
    """Trial number -> which of :data:`GROUPS` it is drawn as."""
    best = results.trained[: max(1, math.ceil(TOP_SHARE * len(results.trained)))]
    found = {row.number: "stopped early" for row in results.trials if row.value is not None}
    found |= {row.number: "trained" for row in results.trained}
    return found | {row.number: "best fifth" for row in best}


def floor(results: Results) -> float:
    """Where the axis of values begins: a few very bad trials would flatten all others."""
    values = [row.value for row in results.trained if row.value is not None]
    middle = float(pd.Series(values).median())
    return max(min(values), max(values) - 4 * (max(values) - middle) - 1e-4)


def _colour(present: Sequence[str], legend: bool = True) -> Any:
    import altair as alt

    names = [name for name in GROUPS if name in present]
    return alt.Color(
        "group:N",
        scale=alt.Scale(domain=names, range=[COLOURS[GROUPS[name]] for name in names]),
        legend=alt.Legend(title=None) if legend else None,
    )


def _axis(results: Results, title: str = "validation AUC") -> Any:
    import altair as alt

    low, top = floor(results), results.top
    space = 0.06 * (top - low) or 1e-3
    scale = alt.Scale(domain=[low - space, top + space], clamp=True, nice=False)
    return alt.Y("value:Q", title=title, scale=scale, axis=alt.Axis(tickCount=5, format=".4f"))


def history_chart(results: Results) -> Any:
    """Each trial's value by its number, and the best so far."""
    import altair as alt

    group = groups(results)
    frame = pd.DataFrame(
        [
            {"trial": row.number, "value": row.value, "group": group[row.number]}
            for row in results.trials
            if row.number in group
        ]
    )
    trained = frame[frame["group"] != "stopped early"].sort_values("trial")
    best = trained.assign(value=trained["value"].cummax())
    end = pd.DataFrame([{"trial": max(row.number for row in results.trials), "value": None}])
    best = pd.concat([best[["trial", "value"]], end.astype(float)]).ffill()
    scale = alt.Scale(domain=[0, len(results.trials) + 1], nice=False)
    x = alt.X("trial:Q", title="trial", scale=scale, axis=alt.Axis(tickMinStep=1, grid=False))
    y = _axis(results)
    line = (
        alt.Chart(best)
        .mark_line(interpolate="step-after", strokeWidth=2, color=COLOURS["champion"])
        .encode(x=x, y=y)
    )
    dots = (
        alt.Chart(frame)
        .mark_point(filled=True, size=55, opacity=1)
        .encode(x=x, y=y, color=_colour(list(frame["group"])))
    )
    return (line + dots).properties(width=WIDE, height=220)


def curves_chart(results: Results) -> Any:
    """The value at each validation of each trial's first training."""
    import altair as alt

    group = groups(results)
    most = results.settings.points
    frame = pd.DataFrame(
        [
            {"trial": row.number, "point": number, "value": value, "group": group[row.number]}
            for row in results.trials
            if row.number in group
            for number, value in row.points
            if number <= most
        ]
    )
    lowest = min(floor(results), float(frame.groupby("point")["value"].median().min()))
    scale = alt.Scale(domain=[lowest, float(frame["value"].max())], clamp=True, nice=True)
    base = alt.Chart(frame).encode(
        x=alt.X(
            "point:Q",
            title="validation",
            axis=alt.Axis(tickMinStep=1, grid=False),
            scale=alt.Scale(domain=[1, max(2, int(frame["point"].max()))], nice=False),
        ),
        y=alt.Y("value:Q", title="validation AUC", scale=scale, axis=alt.Axis(tickCount=5)),
        detail="trial:N",
        color=_colour(list(frame["group"])),
        order=alt.Order("point:Q"),
    )
    lines = base.mark_line(strokeWidth=1.6, opacity=0.85)
    dots = base.mark_point(filled=True, size=22, opacity=0.85)
    return (lines + dots).properties(width=WIDE, height=220)


# ---- fields ---------------------------------------------------------------------------------------


def place(domain: Domain, value: Value) -> float:
    """Where a value stands on its axis, 0 at the lowest and 1 at the highest."""
    if isinstance(domain, Choice):
        return domain.choices.index(value) / (len(domain.choices) - 1)
    assert isinstance(value, (int, float))
    low, high, here = float(domain.low), float(domain.high), float(value)
    if domain.log:
        low, high, here = math.log(low), math.log(high), math.log(here)
    return (here - low) / (high - low)


def _marks(domain: Domain) -> list[tuple[float, str]]:
    """What an axis is labelled with: the ends of a range, or all choices."""
    values = domain.choices if isinstance(domain, Choice) else (domain.low, domain.high)
    return [(place(domain, value), text_of(value)) for value in values]


def ordered_fields(results: Results) -> list[str]:
    """The fields, the most important first."""
    space = list(results.settings.space)
    return sorted(space, key=lambda field: -results.importance.get(field, 0.0))


def parallel_chart(results: Results) -> Any:
    """Parallel coordinates: a line a trained trial over all fields, to its value at the right."""
    import altair as alt

    fields, domains, group = ordered_fields(results), results.settings.domains, groups(results)
    low = floor(results)
    span = results.top - low or 1.0
    lines: list[dict[str, Any]] = []
    for row in results.trained:
        height = max(0.0, ((row.value or 0.0) - low) / span)
        places = [place(domains[field], row.values[field]) for field in fields] + [height]
        lines += [
            {"trial": row.number, "axis": i, "place": y, "group": group[row.number]}
            for i, y in enumerate(places)
        ]
    marks = [
        {"axis": i, "place": y, "text": text}
        for i, field in enumerate(fields)
        for y, text in _marks(domains[field])
    ]
    marks += [{"axis": len(fields), "place": y, "text": f"{low + y * span:.4f}"} for y in (0, 1)]
    # A word a line: axes stand closer to each other than their names are long.
    heads_of = [short(field).replace(" ", "\n") for field in fields]
    names = [{"axis": i, "text": text} for i, text in enumerate(heads_of)]
    names.append({"axis": len(fields), "text": "AUC"})
    frame = pd.DataFrame(lines)
    x = alt.X("axis:Q", axis=None, scale=alt.Scale(domain=[0, len(fields)], padding=28, nice=False))
    y = alt.Y("place:Q", axis=None, scale=alt.Scale(domain=[0, 1]))
    rules = (
        alt.Chart(pd.DataFrame([{"axis": i} for i in range(len(fields) + 1)]))
        .mark_rule(color=COLOURS["grid"], strokeWidth=1.5)
        .encode(x=x)
    )
    base = alt.Chart(frame).encode(x=x, y=y, detail="trial:N", order=alt.Order("axis:Q"))
    layers = [rules]
    for name, width in (("trained", 1.2), ("best fifth", 2.2)):
        layers.append(
            base.transform_filter(alt.datum.group == name)
            .mark_line(strokeWidth=width, opacity=0.9)
            .encode(color=_colour(list(frame["group"]), legend=False))
        )
    labels = pd.DataFrame(marks)
    # First fat and in the card's colour, so that no line runs through a label.
    card = COLOURS["card"]
    for look in (
        {"color": card, "stroke": card, "strokeWidth": 4},
        {"color": COLOURS["muted"]},
    ):
        layers.append(
            alt.Chart(labels)
            .mark_text(align="left", dx=5, fontSize=10, **look)
            .encode(x=x, y=y, text="text:N")
        )
    heads = alt.Chart(pd.DataFrame(names)).encode(x=x, text="text:N", y=alt.value(-10))
    for lines_of in {text.count("\n") for text in heads_of} | {0}:
        layers.append(
            heads.transform_filter(f"length(split(datum.text, '\\n')) == {lines_of + 1}").mark_text(
                dy=-12 * lines_of, lineBreak="\n", lineHeight=12, color=COLOURS["ink"]
            )
        )
    return alt.layer(*layers).properties(width=WIDE, height=300)


def field_chart(results: Results, field: str) -> Any:
    """The value of each trained trial against one field."""
    import altair as alt

    domain, group = results.settings.domains[field], groups(results)
    rows = [
        {"x": row.values[field], "value": row.value, "group": group[row.number]}
        for row in results.trained
    ]
    if isinstance(domain, Choice):
        names = [text_of(value) for value in domain.choices]
        frame = pd.DataFrame([{**row, "x": text_of(row["x"])} for row in rows])
        axis = alt.Axis(labelAngle=0, labelLimit=90, ticks=False)
        x = alt.X("x:N", title=None, sort=names, scale=alt.Scale(domain=names), axis=axis)
    else:
        frame = pd.DataFrame(rows)
        scale = alt.Scale(
            type="log" if domain.log else "linear", domain=[domain.low, domain.high], nice=False
        )
        ticks = {"tickCount": 3} if not domain.whole else {"values": _whole_ticks(domain)}
        axis = alt.Axis(format="~g", grid=False, **ticks)
        x = alt.X("x:Q", title=None, scale=scale, axis=axis)
    return (
        alt.Chart(frame)
        .mark_point(filled=True, size=40, opacity=0.9)
        .encode(x=x, y=_axis(results, ""), color=_colour(list(frame["group"]), legend=False))
        .properties(width=NARROW, height=150)
    )


def _whole_ticks(domain: Range) -> list[int]:
    """At most five whole numbers between the ends."""
    low, high = int(domain.low), int(domain.high)
    return list(range(low, high + 1, max(1, math.ceil((high - low) / 4))))


def importance_chart(results: Results) -> Any:
    """Bar chart, one bar per field."""
    import altair as alt

    frame = pd.DataFrame(
        [{"field": short(field), "share": share} for field, share in results.importance.items()]
    )
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "field:N",
            sort=list(frame["field"]),
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelLimit=220),
        ),
        x=alt.X(
            "share:Q",
            title="share of the variance of the value",
            axis=alt.Axis(format=".0%", tickCount=5),
        ),
    )
    bars = base.mark_bar(height=12, color=COLOURS["candidate"], cornerRadiusEnd=2)
    text = base.mark_text(align="left", dx=5, fontSize=11, color=COLOURS["muted"]).encode(
        text=alt.Text("share:Q", format=".1%")
    )
    return (bars + text).properties(width=620, height=alt.Step(22))


def pictures(results: Results) -> dict[str, Any]:
    """Name -> chart of everything that the trials so far can show."""
    if len(results.trained) < SHORTEST:
        return {}
    wanted = {"history": history_chart(results), "curves": curves_chart(results)}
    wanted["parallel"] = parallel_chart(results)
    wanted |= {f"field-{f}": field_chart(results, f) for f in ordered_fields(results)}
    if results.importance:
        wanted["importance"] = importance_chart(results)
    return wanted


def deviation(row: TrialRow) -> float | None:
    """Standard deviation (n - 1) over a trial's seeds; None with one."""
    return float(pd.Series(row.scores).std()) if len(row.scores) > 1 else None
