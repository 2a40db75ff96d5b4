"""The names at ``hemix`` itself and the notebook that uses them, over a version of the real steps."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

import hemix
from hemix.errors import DataError, DefinitionError, ModelVersionError, StorageError
from hemix.infra.docs import notebook
from hemix.models.versions.inference import Scorer, predict_table
from hemix.pipelines.local.record import RunRecord, StepRecord
from hemix.serving.registry.opening import open_registry
from hemix.spec import FeatureSpec
from tests.small import SmallRun


@pytest.fixture(scope="module")
def raw(small_examples: Path) -> pd.DataFrame:
    (file, *_) = sorted(small_examples.glob("day=*/*.parquet"))
    return pq.read_table(file).slice(0, 40).to_pandas()


@pytest.fixture(scope="module")
def version(small_model: Path) -> hemix.Version:
    return hemix.load_version(small_model)


def test_importing_costs_nothing() -> None:
    code = "import sys, hemix; print([n for n in ('torch', 'tensorflow', 'pandas') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    for name in hemix.__all__:
        assert callable(getattr(hemix, name))
        assert name in dir(hemix)
    with pytest.raises(AttributeError, match="no attribute 'lode_version'"):
        hemix.lode_version  # noqa: B018


def test_a_row_keeps_its_label_and_its_scores_in_any_order(
    version: hemix.Version, raw: pd.DataFrame
) -> None:
    shuffled = raw.sample(frac=1, random_state=2)
    found = version.predict(shuffled)
    assert list(found.columns) == list(version.tasks)
    assert found.index.equals(shuffled.index)
    again = version.predict(raw)
    for task in version.tasks:
        # Sums over another batch may differ in the last bit.
        np.testing.assert_allclose(found[task].loc[raw.index], again[task], rtol=1e-6)


def test_every_kind_of_frame_gives_the_same_bits(
    version: hemix.Version, small_examples: Path
) -> None:
    (file, *_) = sorted(small_examples.glob("day=*/*.parquet"))
    table = pq.read_table(file).slice(0, 30)
    scorer: Scorer = version.scorer
    expected = predict_table(scorer, version.graph.apply_table(table))
    for frame in (table, table.to_pandas(), pl.DataFrame(pl.from_arrow(table))):
        found = version.predict(frame)
        for task in version.tasks:
            np.testing.assert_array_equal(np.asarray(found[task]), expected[task])


def test_an_empty_frame_gives_an_empty_result(version: hemix.Version, raw: pd.DataFrame) -> None:
    found = version.predict(raw.iloc[:0])
    assert found.shape == (0, len(version.tasks))


def test_what_is_missing_is_named(version: hemix.Version, raw: pd.DataFrame) -> None:
    with pytest.raises(DataError, match=r"lacks 2 of .*video_id|lacks 2 of .*item_id"):
        version.predict(raw.drop(columns=["item_id", "global_gap_s"]))
    assert set(version.columns) <= set(raw.columns)


def test_versions_are_found_by_place_and_name(small_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelVersionError, match="not 'other'"):
        hemix.load_version(small_model, "other")
    with pytest.raises(Exception, match=str(tmp_path)):
        hemix.load_version(tmp_path)


def test_a_definition_a_ranker_and_a_record(small_run: SmallRun, tmp_path: Path) -> None:
    assert hemix.load_definition("kuairand").name == "kuairand"
    spec = FeatureSpec.read(small_run.transform / "spec.json")
    ranker = hemix.build_ranker(spec, "tiny", set=["model.token_width=8"])
    assert ranker.spec == spec
    with pytest.raises(DefinitionError, match="not a value of a recipe"):
        hemix.build_ranker(spec, "tiny", set=["split.train.end=2022-04-29"])
    with pytest.raises(StorageError, match=r"run\.json"):
        hemix.read_run(tmp_path)


# ---- the notebook --------------------------------------------------------------------------

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
            assert names["OUTPUT"] == "runs/demo"  # what ``make demo`` writes
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
