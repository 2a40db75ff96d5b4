"""The table as a picture: mean test AUC of every row with its deviation, the look-up as a line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measuring.pictures import save_svg
from hemix.components.pages.theme import COLOURS


def draw(figures: dict[str, Any], path: Path) -> None:
    """Write the picture as SVG; rows of one base have one colour and stand together."""
    import altair as alt

    task = figures["tasks"][0]
    frame = pd.DataFrame(
        [
            {
                "model": name,
                "base": row["base"],
                "auc": row["test"][task]["auc"]["mean"],
                "low": row["test"][task]["auc"]["mean"] - row["test"][task]["auc"]["deviation"],
                "high": row["test"][task]["auc"]["mean"] + row["test"][task]["auc"]["deviation"],
            }
            for name, row in figures["models"].items()
        ]
    )
    plain = frame[frame.model == frame.base].sort_values("auc", ascending=False)["base"]
    rank = {base: place for place, base in enumerate(plain)}
    frame["place"] = frame["base"].map(rank)
    frame["refined"] = frame.model != frame.base
    order = frame.sort_values(["place", "refined", "auc"], ascending=[True, True, False])
    y = alt.Y("model:N", sort=order["model"].tolist(), title=None)
    colour = alt.condition(
        alt.datum.refined, alt.value(COLOURS["candidate"]), alt.value(COLOURS["popularity"])
    )
    scale = alt.Scale(zero=False, nice=True)
    axis = alt.Axis(format=".3f")
    dots = alt.Chart(frame).mark_circle(size=70).encode(
        x=alt.X("auc:Q", title="test AUC", scale=scale, axis=axis), y=y, color=colour
    )  # fmt: skip
    bars = (
        alt.Chart(frame)
        .mark_rule(strokeWidth=2)
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q", y=y, color=colour)
    )
    rule = (
        alt.Chart(pd.DataFrame([{"auc": figures["lookup"]}]))
        .mark_rule(strokeDash=[4, 3], color=COLOURS["muted"])
        .encode(x=alt.X("auc:Q", scale=scale))
    )
    chart = (rule + bars + dots).properties(
        width=560,
        height=20 * len(frame),
        background="#ffffff",
        padding=16,
        title=alt.Title(
            "Frappe: the interaction line",
            subtitle=[
                "Mean over seeds and one deviation; dark: a base, coloured: the same, refined.",
                "Dashed: the untrained look-up (pair seen, then popularity).",
            ],
            subtitleColor=COLOURS["muted"],
            subtitlePadding=6,
        ),
    )
    save_svg(chart, path)
