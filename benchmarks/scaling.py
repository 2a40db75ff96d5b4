"""How AUC grows with depth, width and rank: HeteroMixer beside RankMixer and Transformer blocks.

``python -m benchmarks.scaling --run runs/demo`` trains every shape with the same training, once a
seed, and draws AUC against parameters and FLOPs. Finished trainings are kept. The last line is JSON.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.accuracy.variants import run
from benchmarks.pictures import save_svg
from components.report.look import COLOURS

PICTURE = Path(__file__).with_name("results") / "scaling.svg"
MIXERS = {"hetero": "candidate", "rankmixer": "champion", "transformer": "popularity"}


def shapes() -> dict[str, dict[str, str]]:
    """Depth 1, 2, 4 and width 24, 48, 96 of each mixer, and ranks of the HeteroMixer."""
    found: dict[str, dict[str, str]] = {}

    def add(mixer: str, width: int, depth: int, rank: int = 16) -> None:
        name = f"{mixer} d{width} L{depth}" + (f" r{rank}" if rank != 16 else "")
        found[name] = {
            "model.mixer": mixer,
            "model.token_width": str(width),
            "model.blocks": str(depth),
            "model.rank": str(rank),
        }

    for mixer in MIXERS:
        for width in (48, 24, 96):
            add(mixer, width, 1)
        for depth in (2, 4):
            add(mixer, 48, depth)
    for rank in (4, 64):
        add("hetero", 48, 1, rank)
    return found


def draw(figures: dict[str, Any]) -> None:
    """AUC of the first task against dense parameters and against FLOPs, a line a mixer."""
    import altair as alt

    task = figures["tasks"][0]
    rows = []
    for name, row in figures["models"].items():
        auc = row["test"][task]["auc"]
        rows.append(
            {
                "mixer": name.split()[0],
                "shape": name,
                "parameters": row["parameters"]["dense"],
                "FLOPs a sample": row["flops_per_sample"],
                "auc": auc["mean"],
                "low": auc["mean"] - auc["deviation"],
                "high": auc["mean"] + auc["deviation"],
            }
        )
    base = alt.Chart(pd.DataFrame(rows)).encode(
        color=alt.Color(
            "mixer:N",
            scale=alt.Scale(domain=list(MIXERS), range=[COLOURS[c] for c in MIXERS.values()]),
            legend=alt.Legend(title=None, orient="top"),
        )
    )

    def panel(field: str) -> Any:
        x = alt.X(f"{field}:Q", scale=alt.Scale(type="log"), axis=alt.Axis(format="~s"))
        y = alt.Y("auc:Q", scale=alt.Scale(zero=False), title=f"test AUC of {task}")
        bars = base.mark_rule(opacity=0.5).encode(x=x, y="low:Q", y2="high:Q")
        return (bars + base.mark_circle(size=70).encode(x=x, y=y)).properties(width=330, height=280)

    chart = (panel("parameters") | panel("FLOPs a sample")).properties(
        background="#ffffff",
        padding=16,
        title=alt.Title(
            f"{figures['dataset']}: AUC against size",
            subtitle="Mean and deviation over seeds; same training for every shape.",
            subtitleColor=COLOURS["muted"],
        ),
    )
    save_svg(chart, PICTURE)


if __name__ == "__main__":
    sys.exit(run("scaling", __doc__, shapes(), draw))
