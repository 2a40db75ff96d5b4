"""The notebook as a page: its text, its code, and what its cells show where it was saved with outputs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

NOTEBOOK = Path(__file__).resolve().parents[2] / "examples" / "notebooks" / "from_the_demo.ipynb"
_STYLE = re.compile(r"<style.*?</style>", re.DOTALL)


def page() -> str:
    """Markdown of every cell in order."""
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    parts = [_cell(cell) for cell in cells]
    where = "examples/notebooks/from_the_demo.ipynb"
    return "\n\n".join(
        [
            parts[0],
            f"This page is `{where}`; run `make demo` first, then the notebook, to see what its cells show.",
            *parts[1:],
        ]
    )


def _cell(cell: dict[str, Any]) -> str:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    shown = [_output(output) for output in cell["outputs"]]
    return "\n\n".join([f"```python\n{source}\n```", *filter(None, shown)])


def _output(output: dict[str, Any]) -> str:
    if output["output_type"] == "stream":
        return "" if output["name"] == "stderr" else f"```\n{''.join(output['text']).rstrip()}\n```"
    data = output.get("data", {})
    if "image/svg+xml" in data:
        return f'<div class="chart">{"".join(data["image/svg+xml"])}</div>'
    if "text/html" in data:
        return _STYLE.sub("", "".join(data["text/html"])).replace("\n", "")
    return f"```\n{''.join(data.get('text/plain', ''))}\n```"
