"""The colours and the font of pages, light and dark, as CSS variables."""

from __future__ import annotations

COLOURS = {
    "ink": "#1b2430",
    "muted": "#667085",
    "grid": "#e3e7ed",
    "candidate": "#2458e6",
    "champion": "#d9730d",
    "boosting": "#0f8a7e",
    "rule": "#b0437c",
    "popularity": "#8a94a3",
    "as_logged": "#9a6bd6",
    "train": "#9db8f5",
    "validation": "#5f87ee",
    "test": "#f0a35e",
    "outside": "#d5dae2",
    "card": "#ffffff",
}
"""Name of the CSS variable -> its light value, which marks the place in the SVG."""
DARK = {
    "ink": "#e8ecf3",
    "muted": "#9aa5b5",
    "grid": "#2b3442",
    "candidate": "#7da2ff",
    "champion": "#f7a64f",
    "boosting": "#4fd0c1",
    "rule": "#ef8fbd",
    "popularity": "#8590a2",
    "as_logged": "#b894ea",
    "train": "#4a68b3",
    "validation": "#7f9ff0",
    "test": "#e59a55",
    "outside": "#3a4454",
    "card": "#171e28",
}
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"


def variables(colours: dict[str, str]) -> str:
    """CSS custom properties, one a colour."""
    return " ".join(f"--{name}: {value};" for name, value in colours.items())
