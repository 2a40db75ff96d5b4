"""What is given up for less: test AUC against parameters (FDO), against rows of zeros (Group-FTRL)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.measuring.pictures import save_svg
from hemix.components.pages.theme import COLOURS

LINES = ("candidate", "champion", "boosting", "rule", "as_logged", "popularity")


def fdo(figures: dict[str, Any], path: Path) -> bool:
    """Draw the rows of smaller tables and their bases to ``path``; false: there are none."""
    points = []
    models = figures["models"]
    for name, row in models.items():
        on_top = name.removeprefix(f"{row['base']} + ")
        kind = on_top.split(" ")[0]
        if name != row["base"] and kind not in ("fdo", "width"):
            continue
        kinds = [kind]
        if name == row["base"]:  # where the lines of both kinds end
            both = ("fdo", "width")
            kinds = [k for k in both if any(m.startswith(f"{name} + {k} ") for m in models)]
        points += [
            {
                "x": sum(row["parameters"].values()),
                "kind": "one width for all tables" if one == "width" else "a width a table",
                "text": "" if name == row["base"] else on_top.removeprefix("fdo "),
                **_auc(figures, row),
            }
            for one in kinds
        ]
    subtitle = [
        "Right end of each line: the base. Labels: the share of variance that the widths keep.",
        "Mean over seeds and one deviation.",
    ]
    return _drawn(points, path, "Parameters", "Frappe: a width a table (FDO)", subtitle)


def group_ftrl(figures: dict[str, Any], path: Path) -> bool:
    """Draw the rows trained by Group-FTRL and their bases to ``path``; false: there are none."""
    points = []
    for name, row in figures["models"].items():
        strength = name.removeprefix(f"{row['base']} + group_ftrl ")
        if "zero_rows" in row:
            points.append(
                {
                    "x": row["zero_rows"]["seen"]["mean"],
                    "kind": "Adam" if name == row["base"] else "Group-FTRL",
                    "text": "Adam" if name == row["base"] else strength,
                    **_auc(figures, row),
                }
            )
    subtitle = [
        "Labels: strength of the draw to 0, in parts of the release's.",
        "Mean over seeds and one deviation.",
    ]
    title = "Frappe: rows of zeros among those that training saw"
    return _drawn(points, path, "Share of rows of zeros", title, subtitle)


def _auc(figures: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    auc = row["test"][figures["tasks"][0]]["auc"]
    low, high = auc["mean"] - auc["deviation"], auc["mean"] + auc["deviation"]
    return {"base": row["base"], "auc": auc["mean"], "low": low, "high": high}


def _drawn(
    points: list[dict[str, Any]], path: Path, x_title: str, title: str, subtitle: list[str]
) -> bool:
    """A line a base through its points; a base with nothing on top is left out.

    Args:
        points: each with ``base``, ``kind``, ``text``, ``x``, ``auc``, ``low``, ``high``.
        path: of the SVG.
        x_title: of the axis.
        title: of the picture.
        subtitle: its lines.
    """
    import altair as alt

    several = {p["base"] for p in points if sum(q["base"] == p["base"] for q in points) > 1}
    frame = pd.DataFrame([point for point in points if point["base"] in several])
    if frame.empty:
        return False
    bases = list(dict.fromkeys(frame["base"]))
    colours = [COLOURS[LINES[place % len(LINES)]] for place in range(len(bases))]
    colour = alt.Color("base:N", scale=alt.Scale(domain=bases, range=colours))
    y_scale = alt.Scale(zero=False, nice=True)
    x = alt.X("x:Q", title=x_title, scale=alt.Scale(zero=False, nice=True))
    y = alt.Y("auc:Q", title="test AUC", scale=y_scale, axis=alt.Axis(format=".4f"))
    shape = alt.Shape("kind:N", legend=alt.Legend(title=None))
    plot = alt.Chart(frame)
    line = plot.mark_line(opacity=0.5).encode(x=x, y=y, color=colour, detail="kind:N")
    bars = plot.mark_rule(opacity=0.6).encode(
        x=x, y=alt.Y("low:Q", scale=y_scale), y2="high:Q", color=colour
    )
    dots = plot.mark_point(filled=True, size=70).encode(x=x, y=y, color=colour, shape=shape)
    text = plot.mark_text(dy=-12, fontSize=10).encode(x=x, y=y, text="text:N", color=colour)
    chart = (line + bars + dots + text).properties(
        width=560,
        height=340,
        background="#ffffff",
        padding=16,
        title=alt.Title(
            title, subtitle=subtitle, subtitleColor=COLOURS["muted"], subtitlePadding=6
        ),
    )
    save_svg(chart, path)
    return True
