"""AUC against history length as a picture: a line a budget, with its deviation over seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measuring.pictures import save_svg
from hemix.components.pages.theme import COLOURS

BUDGETS = {"all rows": "candidate", "equal compute": "champion"}


def draw(figures: dict[str, Any], path: Path) -> None:
    """Write the picture as SVG: a panel a metric of the first task."""
    import altair as alt

    task = figures["tasks"][0]
    rows = [
        {
            "events kept": row["length"],
            "budget": row["budget"],
            "metric": metric,
            "value": value["mean"],
            "low": value["mean"] - value["deviation"],
            "high": value["mean"] + value["deviation"],
        }
        for row in figures["models"].values()
        for metric, value in row["test"][task].items()
        if metric in ("auc", "impression_auc")
    ]
    frame = pd.DataFrame(rows)
    lengths = sorted(frame["events kept"].unique().tolist())
    colour = alt.Color(
        "budget:N",
        scale=alt.Scale(domain=list(BUDGETS), range=[COLOURS[c] for c in BUDGETS.values()]),
        legend=alt.Legend(title=None, orient="top", symbolOpacity=1, symbolType="stroke"),
    )
    x = alt.X(
        "events kept:Q",
        scale=alt.Scale(type="log", domain=[lengths[0] * 0.9, lengths[-1] * 1.1]),
        axis=alt.Axis(values=lengths, grid=False),
        title="most events of a history",
    )

    def panel(metric: str, title: str) -> Any:
        base = alt.Chart(frame[frame["metric"] == metric]).encode(x=x, color=colour)
        y = alt.Y("value:Q", scale=alt.Scale(zero=False), title=title)
        band = base.mark_area(opacity=0.15).encode(y=alt.Y("low:Q", title=title), y2="high:Q")
        line = base.mark_line(point=True).encode(y=y)
        return (band + line).properties(width=330, height=260)

    titles = {"auc": f"test AUC of {task}", "impression_auc": "mean AUC an impression"}
    panels = [panel(m, t) for m, t in titles.items() if m in set(frame["metric"])]
    chart = alt.hconcat(*panels).properties(
        background="#ffffff",
        padding=16,
        title=alt.Title(
            f"{figures['dataset']}: what longer histories are worth",
            subtitle="Mean and deviation over seeds. Equal compute: the FLOPs of the shortest "
            "history's pass, so longer ones see fewer requests.",
            subtitleColor=COLOURS["muted"],
        ),
    )
    save_svg(chart, path)
