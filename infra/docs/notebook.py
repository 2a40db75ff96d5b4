"""The notebook as a page: its text, its code, and what its cells gave when it was saved.

``python -m hemix.infra.docs.notebook`` runs it over ``runs/demo`` and saves it with its outputs.
"""

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
            f"This page is `{where}` with what its cells gave; after `make demo` it runs on your machine too.",
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


def save(folder: Path) -> None:
    """Run the notebook in ``folder``, which holds ``runs/demo``, and keep what its cells give."""
    import nbformat
    from nbclient import NotebookClient

    document = nbformat.read(NOTEBOOK, as_version=4)  # type: ignore[no-untyped-call]
    NotebookClient(document, resources={"metadata": {"path": str(folder)}}).execute()
    for cell in document.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.outputs = [kept for kept in map(_kept, cell.outputs) if kept]
    document.metadata = {}
    text = nbformat.writes(document)  # type: ignore[no-untyped-call]
    NOTEBOOK.write_text(text + "\n")


def _kept(output: Any) -> Any:
    """An output as the page shows it; None for what libraries write to standard error."""
    if output.output_type == "stream":
        return output if output.name == "stdout" else None
    shown = ("image/svg+xml", "text/html", "text/plain")
    kind = next(kind for kind in shown if kind in output.data)
    output.data, output.metadata = {kind: output.data[kind]}, {}
    return output


if __name__ == "__main__":
    save(Path.cwd())
