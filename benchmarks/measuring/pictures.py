"""Charts of the benchmarks as SVG files in the report's look."""

from __future__ import annotations

from hemix.components.pages.drawing import save_svg

__all__ = ["save_svg"]
