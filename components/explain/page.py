"""The page of ``hemix explain``: every picture with the sentence that says how to read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hemix.components.pages.escaping import environment
from hemix.components.pages.heatmaps import drawn

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
