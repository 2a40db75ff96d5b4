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
from benchmarks.measuring.pictures import save_svg
from hemix.components.pages.theme import COLOURS

RESULTS = Path(__file__).with_name("results")
MIXERS = {"hetero": "candidate", "rankmixer": "champion", "transformer": "popularity"}


WIDTHS, DEPTHS, RANKS = (24, 48, 96), (1, 2, 4), (4, 16, 64)
WIDTH, DEPTH, RANK = 48, 1, 16
"""What is not varied."""


def name_of(mixer: str, width: int = WIDTH, depth: int = DEPTH, rank: int = RANK) -> str:
    """A shape's name; its rank is told where it is another."""
    return f"{mixer} d{width} L{depth}" + (f" r{rank}" if rank != RANK else "")


def lines() -> dict[tuple[str, str], list[str]]:
    """Names of the shapes along each line of the picture, by mixer and by what grows."""
    found = {}
    for mixer in MIXERS:
        found[mixer, "width"] = [name_of(mixer, width=width) for width in WIDTHS]
        found[mixer, "depth"] = [name_of(mixer, depth=depth) for depth in DEPTHS]
    found["hetero", "rank"] = [name_of("hetero", rank=rank) for rank in RANKS]
    return found


def shapes() -> dict[str, dict[str, str]]:
    """Depth 1, 2, 4 and width 24, 48, 96 of each mixer, and ranks of the HeteroMixer."""
    found: dict[str, dict[str, str]] = {}

    def add(mixer: str, width: int = WIDTH, depth: int = DEPTH, rank: int = RANK) -> None:
        found[name_of(mixer, width, depth, rank)] = {
            "model.mixer": mixer,
            "model.token_width": str(width),
            "model.blocks": str(depth),
            "model.rank": str(rank),
        }

    for mixer in MIXERS:
        for width in sorted(WIDTHS, key=lambda width: width != WIDTH):
            add(mixer, width=width)
        for depth in DEPTHS[1:]:
            add(mixer, depth=depth)
    for rank in RANKS:
        add("hetero", rank=rank)
    return found


def draw(figures: dict[str, Any]) -> None:
    """AUC of the first task against dense parameters and against FLOPs, a line a mixer and growth."""
    import altair as alt

    task, models = figures["tasks"][0], figures["models"]
    rows = []
    for (mixer, grows), names in lines().items():
        for name in (name for name in names if name in models):
            auc = models[name]["test"][task]["auc"]
            rows.append(
                {
                    "mixer": mixer,
                    "grows": grows,
                    "parameters": models[name]["parameters"]["dense"],
                    "FLOPs a sample": models[name]["flops_per_sample"],
                    "auc": auc["mean"],
                    "low": auc["mean"] - auc["deviation"],
                    "high": auc["mean"] + auc["deviation"],
                }
            )
    top = alt.Legend(title=None, orient="top", symbolOpacity=1)
    base = alt.Chart(pd.DataFrame(rows)).encode(
        color=alt.Color(
            "mixer:N",
            scale=alt.Scale(domain=list(MIXERS), range=[COLOURS[c] for c in MIXERS.values()]),
            legend=top,
        )
    )

    def panel(field: str) -> Any:
        x = alt.X(f"{field}:Q", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(format="~s"))
        y = alt.Y("auc:Q", scale=alt.Scale(zero=False), title=f"test AUC of {task}")
        dash = alt.StrokeDash("grows:N", sort=["width", "depth", "rank"], legend=top)
        bars = base.mark_rule(opacity=0.35).encode(x=x, y="low:Q", y2="high:Q")
        line = base.mark_line().encode(x=x, y=y, strokeDash=dash)
        dots = base.mark_circle(size=60, opacity=1).encode(x=x, y=y)
        return (bars + line + dots).properties(width=360, height=300)

    chart = (panel("parameters") | panel("FLOPs a sample")).properties(
        background="#ffffff",
        padding=16,
        title=alt.Title(
            f"{figures['dataset']}: AUC against size",
            subtitle="Mean and deviation over seeds; same training for every shape.",
            subtitleColor=COLOURS["muted"],
        ),
    )
    save_svg(chart, RESULTS / f"scaling-{figures['dataset']}.svg")


if __name__ == "__main__":
    sys.exit(run("scaling", __doc__, shapes(), draw))
