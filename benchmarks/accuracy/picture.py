"""The table as a picture: test AUC of every model, a dot a seed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from benchmarks.accuracy.data import HeldOut, Scores
from benchmarks.accuracy.training import measure
from benchmarks.measuring.pictures import save_svg
from hemix.components.pages.theme import COLOURS

LABEL = "candidate"


def draw(
    scores: Mapping[str, list[Scores]], reference: str, test: HeldOut, dataset: str, path: Path
) -> None:
    """Write the picture of the first task as SVG."""
    import altair as alt

    task = next(iter(test.labels))
    rows = [
        {
            "model": f"HeMix ({model})" if model == reference else model,
            "auc": measure(test, p)[task]["auc"],
            "ours": model == reference,
        }
        for model, runs in scores.items()
        for p in runs
        if task in p
    ]
    frame = pd.DataFrame(rows)
    order = frame.groupby("model")["auc"].mean().sort_values(ascending=False).index.tolist()
    y = alt.Y("model:N", sort=order, title=None)
    colour = alt.condition(
        alt.datum.ours, alt.value(COLOURS[LABEL]), alt.value(COLOURS["popularity"])
    )
    scale = alt.Scale(zero=False, nice=True)
    x = alt.X("auc:Q", title=f"test AUC of {task}", scale=scale, axis=alt.Axis(format=".3f"))
    dots = alt.Chart(frame).mark_circle(size=60, opacity=0.75).encode(x=x, y=y, color=colour)
    mean = (
        alt.Chart(frame)
        .mark_tick(thickness=2.5, size=20)
        .encode(x=alt.X("mean(auc):Q", scale=scale), y=y, color=colour)
    )
    chart = (dots + mean).properties(
        width=560,
        height=26 * len(order),
        background="#ffffff",
        padding=16,
        title=alt.Title(
            f"{dataset}: rankers side by side",
            subtitle="A dot a seed, a bar their mean. Same rows, features, embeddings and trials.",
            subtitleColor=COLOURS["muted"],
            subtitlePadding=6,
        ),
    )
    save_svg(chart, path)
