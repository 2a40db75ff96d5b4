"""The notebook's cells, each run as it is written, over the output folder of a small run."""

from __future__ import annotations

import ast
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hemix.infra.docs import notebook
from hemix.pipelines.local.record import RunRecord, StepRecord
from hemix.serving.registry.opening import open_registry
from tests.small import SmallRun

CELLS: list[dict[str, Any]] = json.loads(notebook.NOTEBOOK.read_text())["cells"]
CODE = [cell for cell in CELLS if cell["cell_type"] == "code"]


@pytest.fixture(scope="module")
def output(small_run: SmallRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small run's artifacts as ``hemix run`` leaves them: a record and a registry."""
    folder = tmp_path_factory.mktemp("output")
    open_registry(folder / "registry").add(small_run.model, share=None)
    RunRecord(
        version="small-tiny",
        status="succeeded",
        started=datetime.now(UTC).isoformat(),
        parameters={},
        steps=[
            StepRecord(
                name="build_examples",
                status="succeeded",
                seconds=1.0,
                artifacts={"examples": str(small_run.examples)},
            )
        ],
    ).write(folder / "run.json")
    return folder


def shown_by(source: str, names: dict[str, Any]) -> Any:
    """Run a cell; the value of its last line, which a notebook shows."""
    tree = ast.parse(source)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, "<cell>", "exec"), names)
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), "<cell>", "eval"), names)


def test_every_cell_runs(output: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    shown = []
    for cell in CODE:
        shown.append(shown_by("".join(cell["source"]), names))
        if len(shown) == 1:
            assert names == {**names, "OUTPUT": "runs/demo"}  # what ``make demo`` writes
            names["OUTPUT"] = str(output)
    assert names["record"].version in capsys.readouterr().out
    ranking = next(value for value in shown if "probability" in getattr(value, "columns", ()))
    assert ranking["probability"].is_monotonic_decreasing
    assert 2 <= len(ranking) <= 10
    calibration, cells = names["shown"], names["cells"]
    assert calibration["predicted"].is_monotonic_increasing
    assert calibration["observed"].between(0, 1).all()
    assert isinstance(cells, pd.DataFrame)
    shares = cells.groupby("query")["weight"].sum()
    assert (shares > 0).all()
    assert (shares < 1 + 1e-4).all()  # the rest is the null item's, and that of older events
    charts = [
        value.to_dict() for value in shown if hasattr(value, "to_html") and hasattr(value, "save")
    ]
    assert len(charts) == 2


def test_the_page_shows_what_cells_gave() -> None:
    """Every cell that ends in a value or prints one was saved with it (``make notebook``)."""
    for cell in CODE:
        source = "".join(cell["source"])
        shows = isinstance(ast.parse(source).body[-1], ast.Expr)
        assert bool(cell["outputs"]) == shows, source
    page = notebook.page()
    assert page.count("<svg") == 2
    assert page.count("<table") == 3
