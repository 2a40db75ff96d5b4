"""The power curve as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measuring.pictures import save_svg
from hemix.components.pages.theme import COLOURS

NAMES = {
    "t_test_at_the_end": ("t-test, one look at the end", "popularity"),
    "sequence": ("sequence, 100 looks", "champion"),
    "sequence_cuped": ("sequence with CUPED, 100 looks", "candidate"),
}


def draw(curve: Sequence[Mapping[str, float]], naive: float, path: Path) -> None:
    """Write the curve as SVG; ``naive`` is what a t-test at every look finds without an effect."""
    import altair as alt

    names = [name for name, _ in NAMES.values()]
    colours = [COLOURS[colour] for _, colour in NAMES.values()]
    rows = [
        {"lift": row["lift"], "method": NAMES[key][0], "power": row[key]}
        for row in curve
        for key in NAMES
    ]
    lines = (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(strokeWidth=2.5, point=alt.OverlayMarkDef(size=45, filled=True))
        .encode(
            x=alt.X(
                "lift:Q",
                title="true lift of the click rate",
                axis=alt.Axis(format=".0%", tickCount=5),
            ),
            y=alt.Y(
                "power:Q",
                title="share of experiments that find it",
                axis=alt.Axis(format=".0%"),
                scale=alt.Scale(domain=[0, 1]),
            ),
            color=alt.Color(
                "method:N",
                scale=alt.Scale(domain=names, range=colours),
                legend=alt.Legend(title=None, orient="top", labelLimit=300, columnPadding=36),
            ),
        )
    )
    rule = (
        alt.Chart(pd.DataFrame({"y": [0.05]}))
        .mark_rule(strokeDash=[4, 4], color=COLOURS["muted"])
        .encode(y="y:Q")
    )
    chart: Any = (rule + lines).properties(
        width=620,
        height=340,
        background="#ffffff",
        padding=16,
        title=alt.Title(
            "What looking at any time costs",
            subtitle=[
                "KuaiRand, 1 to 8 May, half the users each; dashed: 5 %.",
                f"A t-test looked at 100 times finds something in {naive:.0%} of experiments "
                "without an effect.",
            ],
            subtitleColor=COLOURS["muted"],
            subtitlePadding=6,
        ),
    )
    save_svg(chart, path)
