"""The monitor's page: what was judged, what was not, and how far features have drifted."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hemix.components.monitor.checks import judged
from hemix.components.monitor.measure import Drift, Measures
from hemix.components.monitor.policy import MonitorPolicy
from hemix.components.pages import environment
from hemix.components.report.look import COLOURS, DARK, FONT, svg_of, variables
from hemix.verdict import Check, Verdict

TEMPLATES = Path(__file__).with_name("templates")
STYLE = Path(__file__).parents[1] / "report" / "templates" / "style.css"
MISSING = "–"


def render(measures: Measures, verdict: Verdict, policy: MonitorPolicy) -> str:
    """The whole HTML text; charts are inline SVG, styles are inline, nothing is fetched."""
    from markupsafe import Markup

    pages = environment(
        TEMPLATES, {"number": number, "limit": limit, "moment": moment, "count": count}
    )
    style = (
        STYLE.read_text()
        .replace("/* light */", variables(COLOURS))
        .replace("/* dark */", variables(DARK))
        .replace("/* font */", FONT)
    )
    charts = {d.version: drift_chart(d, policy.drift.psi) for d in measures.drift if d.psi}
    return pages.get_template("page.html").render(
        measures=measures,
        verdict=verdict,
        policy=policy,
        judged=judged,
        open=[check for check in verdict.checks if not judged(check)],
        kinds=_by_kind(verdict),
        charts={v: Markup(svg_of(chart, f"drift-{v}")) for v, chart in charts.items()},
        style=Markup(style),
    )


def _by_kind(verdict: Verdict) -> dict[str, list[Check]]:
    """The checks a kind, the worst first."""
    kinds: dict[str, list[Check]] = {}
    for check in verdict.checks:
        kinds.setdefault(check.check, []).append(check)
    for checks in kinds.values():
        checks.sort(key=lambda check: (check.passed, -(check.value or 0.0)))
    return kinds


def drift_chart(drift: Drift, threshold: float) -> Any:
    """A bar a feature, the largest first, and the threshold."""
    import altair as alt
    import pandas as pd

    rows = [
        {"feature": name.removesuffix("_index").removesuffix("_scaled"), "psi": value}
        for name, value in drift.psi.items()
    ]
    frame = pd.DataFrame(rows).sort_values("psi", ascending=False)
    top = max(1.15 * threshold, float(frame["psi"].max()))
    x = alt.X("psi:Q", title="PSI against training", scale=alt.Scale(domain=[0, top]))
    bars = (
        alt.Chart(frame)
        .mark_bar(height=9)
        .encode(
            x=x,
            y=alt.Y("feature:N", sort=None, title=None),
            color=alt.condition(
                alt.datum.psi > threshold,
                alt.value(COLOURS["champion"]),
                alt.value(COLOURS["candidate"]),
            ),
        )
    )
    rule = (
        alt.Chart(pd.DataFrame({"psi": [threshold]}))
        .mark_rule(strokeDash=[4, 3], color=COLOURS["ink"])
        .encode(x=x)
    )
    return (bars + rule).properties(width=620, height=alt.Step(17))


def number(value: float | None) -> str:
    """Three digits, or thousands: ``0.083``, ``29``, ``1,204``."""
    if value is None or value != value:
        return MISSING
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def limit(check: Check) -> str:
    """``at most 0.25``, ``0.8 to 1.25``."""
    if isinstance(check.threshold, tuple):
        return f"{check.threshold[0]:g} to {check.threshold[1]:g}"
    return f"{check.direction.replace('_', ' ')} {check.threshold:g}"


def moment(value: int) -> str:
    """``22 Nov 2026 04:10`` (UTC) of epoch milliseconds."""
    return f"{datetime.fromtimestamp(value / 1000, UTC):%-d %b %Y %H:%M}"


def count(value: int) -> str:
    """``12,345``."""
    return f"{value:,}"
