"""The page of ``hemix explain``: every picture with the sentence that says how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hemix.components.pages.drawing import svg_of
from hemix.components.pages.escaping import environment
from hemix.components.pages.heatmaps import chart_of, palest, strongest

TEMPLATES = Path(__file__).with_name("templates")


def render(
    pictures: Sequence[Mapping[str, Any]], *, version: str, ranker: str, rows: str = ""
) -> str:
    """The whole HTML text.

    Args:
        pictures: in JSON form, those of one ``about`` together.
        version: its name.
        ranker: its ranker and recipe, in words.
        rows: where the rows come from; empty: none were looked at.
    """
    page = environment(TEMPLATES).get_template("page.html")
    text: str = page.render(
        version=version,
        ranker=ranker,
        rows=rows,
        groups=[
            (about, drawn(p for p in pictures if p["about"] == about))
            for about in ("weights", "rows")
        ],
    )
    return text


def drawn(pictures: Any) -> list[dict[str, Any]]:
    """Pictures with what a template shows: the SVG, which values have no colour and the full one, and
    whether the picture before is read in the same way."""
    from markupsafe import Markup

    found = []
    for number, picture in enumerate(pictures):
        chart = chart_of(picture)
        if chart is not None:
            svg = Markup(svg_of(chart, f"{picture['about']}-{number}"))
            heat = len(picture["axes"]) == 2
            colours = {"pale": palest(picture), "full": strongest(picture)} if heat else {}
            said = bool(found) and found[-1]["reading"] == picture["reading"]
            found.append({**picture, **colours, "svg": svg, "heat": heat, "said": said})
    return found
