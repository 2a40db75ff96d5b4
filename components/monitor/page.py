"""The monitor's page: what was judged, what was not, and how far features have drifted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hemix.components.monitor.checks import judged
from hemix.components.monitor.measure import Drift, Measures
from hemix.components.monitor.policy import MonitorPolicy
from hemix.components.pages.drawing import svg_of
from hemix.components.pages.escaping import environment
from hemix.components.pages.theme import COLOURS
from hemix.verdict import Check, Verdict

TEMPLATES = Path(__file__).with_name("templates")


def render(measures: Measures, verdict: Verdict, policy: MonitorPolicy) -> str:
    """The whole HTML text; charts are inline SVG, styles are inline, nothing is fetched."""
    from markupsafe import Markup

    pages = environment(TEMPLATES)
    charts = {d.version: drift_chart(d, policy.drift.psi) for d in measures.drift if d.psi}
    return pages.get_template("page.html").render(
        measures=measures,
        verdict=verdict,
        policy=policy,
        judged=judged,
        open=[check for check in verdict.checks if not judged(check)],
        kinds=_by_kind(verdict),
        charts={v: Markup(svg_of(chart, f"drift-{v}")) for v, chart in charts.items()},
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
