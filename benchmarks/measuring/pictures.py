"""Charts of the benchmarks as SVG files in the report's look."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from hemix.components.report.look import FONT, config
from hemix.files import atomic_file


def save_svg(chart: Any, path: Path) -> None:
    """Write an Altair chart as SVG, in one piece."""
    import vl_convert

    svg = vl_convert.vegalite_to_svg({**chart.to_dict(), "config": config()})
    svg = re.sub(r'font-family="[^"]*"', f'font-family="{FONT}"', svg)
    with atomic_file(path) as temporary:
        temporary.write_text(svg)
