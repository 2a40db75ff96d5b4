"""Altair charts as SVG: drawn once with light colours, which the page re-maps to CSS variables."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hemix.components.pages.theme import COLOURS, FONT
from hemix.files import atomic_file

_UNDRAWABLE = re.compile("[\x00-\x09\x0b-\x1f\x7f\u2028\u2029\ud800-\udfff\ufffe\uffff]")


def config() -> dict[str, Any]:
    """Vega-Lite configuration shared by all charts."""
    axis = {
        "labelColor": COLOURS["muted"],
        "titleColor": COLOURS["muted"],
        "titleFontWeight": "normal",
        "labelFontSize": 11,
        "titleFontSize": 11,
        "gridColor": COLOURS["grid"],
        "domainColor": COLOURS["grid"],
        "tickColor": COLOURS["grid"],
    }
    return {
        "background": None,
        "font": "Helvetica",
        "view": {"stroke": None},
        "axis": axis,
        "legend": {
            "labelColor": COLOURS["ink"],
            "titleColor": COLOURS["muted"],
            "orient": "top",
            "title": None,
            "labelFontSize": 11,
            "symbolSize": 70,
        },
        "title": {
            "color": COLOURS["ink"],
            "fontSize": 12,
            "fontWeight": 600,
            "anchor": "start",
            "offset": 8,
        },
    }


def svg_of(chart: Any, name: str) -> str:
    """An Altair chart as inline SVG that scales with the page and follows its colours.

    Args:
        chart: an ``altair.Chart``, or charts joined.
        name: unique on the page; prefixes the SVG's ids.
    """
    import vl_convert

    specification = {**drawable(chart.to_dict()), "config": config()}
    text: str = vl_convert.vegalite_to_svg(specification)
    return themed(text, name)


def save_svg(chart: Any, path: Path) -> None:
    """Write an Altair chart as an SVG file of its own, in one piece."""
    import vl_convert

    svg = vl_convert.vegalite_to_svg({**drawable(chart.to_dict()), "config": config()})
    svg = re.sub(r'font-family="[^"]*"', f'font-family="{FONT}"', svg)
    with atomic_file(path) as temporary:
        temporary.write_text(svg)


def drawable(part: Any) -> Any:
    """A specification whose texts hold no marks that Vega cannot read in an expression or draw."""
    if isinstance(part, str):
        return _UNDRAWABLE.sub(" ", part)
    if isinstance(part, dict):
        return {drawable(key): drawable(value) for key, value in part.items()}
    return [drawable(entry) for entry in part] if isinstance(part, list) else part


def themed(svg: str, name: str) -> str:
    """Re-map colours to CSS variables, make ids unique, drop the page-external parts."""
    name = re.sub(r"[^A-Za-z0-9-]", "-", name)
    for variable, colour in COLOURS.items():
        svg = re.sub(rf'"{colour}"', f'"var(--{variable})"', svg, flags=re.IGNORECASE)
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg)
    svg = re.sub(r'font-family="[^"]*"', 'font-family="inherit"', svg)
    svg = re.sub(r"<\?xml[^>]*\?>|<!DOCTYPE[^>]*>", "", svg)
    # The natural width is kept as the largest: charts shrink on a phone and never grow blurry.
    return re.sub(
        r'<svg ([^>]*?)width="([\d.]+)" height="[\d.]+"',
        r'<svg \1style="width: 100%; max-width: \2px; height: auto"',
        svg,
        count=1,
    )
