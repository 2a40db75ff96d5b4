"""The experiment page's charts, in the report's colours."""

from __future__ import annotations

from typing import Any

import pandas as pd

from hemix.components.pages.theme import COLOURS
from hemix.serving.experiments.results import MetricResult

WIDTH = 860


def lift_chart(result: MetricResult) -> Any:
    """The effect over time with its band; the band holds at every look at once.

    The first looks, whose bands would flatten the rest, are cut off at the picture's edge.
    """
    import altair as alt

    rows = [
        {"time": look.time_ms, "effect": look.effect, "low": look.low, "high": look.high}
        for look in result.looks
        if look.effect is not None and look.low is not None and look.high is not None
    ]
    if len(rows) < 2:
        return None
    frame = pd.DataFrame(rows)
    frame["time"] = pd.to_datetime(frame["time"], unit="ms")
    low, high = _window(frame)
    relative = result.metric.scale == "relative"
    axis = alt.Axis(format="+.1%" if relative else "+.3~f", tickCount=6)
    x = alt.X(
        "time:T",
        title=None,
        scale=alt.Scale(type="utc"),
        axis=alt.Axis(format="%-d %b", tickCount="day", grid=False),
    )
    scale = alt.Scale(domain=[low, high], clamp=True, nice=False)
    title = f"{result.metric.name.replace('_', ' ')}, against the control"
    band = (
        alt.Chart(frame)
        .mark_area(opacity=0.22, color=COLOURS["candidate"], clip=True)
        .encode(x=x, y=alt.Y("low:Q", title=title, scale=scale, axis=axis), y2="high:Q")
    )
    line = (
        alt.Chart(frame)
        .mark_line(strokeWidth=2, color=COLOURS["candidate"], clip=True)
        .encode(x=x, y=alt.Y("effect:Q", scale=scale))
    )
    zero = (
        alt.Chart(pd.DataFrame({"zero": [0.0]}))
        .mark_rule(color=COLOURS["ink"], strokeWidth=1)
        .encode(y=alt.Y("zero:Q", scale=scale))
    )
    layers = [band, zero, line]
    if result.metric.margin:
        sign = -1 if result.metric.direction == "increase" else 1
        layers.append(
            alt.Chart(pd.DataFrame({"margin": [sign * result.metric.margin]}))
            .mark_rule(color=COLOURS["champion"], strokeWidth=1, strokeDash=[4, 4])
            .encode(y=alt.Y("margin:Q", scale=scale))
        )
    return alt.layer(*layers).properties(width=WIDTH, height=260)


def _window(frame: pd.DataFrame) -> tuple[float, float]:
    """A window that holds the later three quarters of the bands."""
    later = frame.iloc[len(frame) // 4 :]
    low, high = min(float(later["low"].min()), 0.0), max(float(later["high"].max()), 0.0)
    space = 0.08 * (high - low) or 1e-6
    return low - space, high + space


def metrics_chart(results: tuple[MetricResult, ...]) -> Any:
    """Effect and interval of each relative metric now: with CUPED, and the wider one without."""
    import altair as alt

    rows = [
        {
            "metric": result.metric.name.replace("_", " "),
            "effect": result.effect,
            "low": result.low,
            "high": result.high,
            "plain_low": result.plain_low,
            "plain_high": result.plain_high,
        }
        for result in results
        if result.metric.scale == "relative" and None not in (result.low, result.high)
    ]
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "metric:N",
            sort=[str(row["metric"]) for row in rows],
            title=None,
            axis=alt.Axis(ticks=False, domain=False, labelLimit=200),
        )
    )
    x = alt.X("plain_low:Q", title="effect, relative", axis=alt.Axis(format="+.1%", tickCount=7))
    plain = base.mark_rule(strokeWidth=7, strokeCap="round", opacity=0.25).encode(
        x=x, x2="plain_high:Q", color=alt.value(COLOURS["candidate"])
    )
    own = base.mark_rule(strokeWidth=3, strokeCap="round").encode(
        x="low:Q", x2="high:Q", color=alt.value(COLOURS["candidate"])
    )
    dots = base.mark_point(filled=True, size=90, opacity=1).encode(
        x="effect:Q", color=alt.value(COLOURS["candidate"])
    )
    zero = (
        alt.Chart(pd.DataFrame({"zero": [0.0]}))
        .mark_rule(color=COLOURS["ink"], strokeWidth=1)
        .encode(x="zero:Q")
    )
    return (zero + plain + own + dots).properties(width=WIDTH - 160, height=38 * len(rows))
