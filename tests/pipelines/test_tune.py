"""``hemix tune`` over a finished run: what it reads, what it writes, what it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.components.report.tuning import StudyNotes, render_study
from hemix.errors import DataError, DefinitionError, HemixError, StorageError
from hemix.models.data.toy import toy_spec
from hemix.models.training.recipes import recipe_of
from hemix.models.tuning.results import Results, TrialRow
from hemix.models.tuning.study import StudySettings
from hemix.pipelines.local.record import RunRecord, StepRecord
from tests.models.files import write_split
from tests.models.tuning.tune_toy import SPACE, base

SMALL = [
    "--set",
    "model.token_width=8",
    "--set",
    "model.tower=[8]",
    "--set",
    "training.batch_size=32",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of the toy contract; its test split is there and cannot be read."""
    root = tmp_path_factory.mktemp("run")
    write_split(root / "transformed" / "train", rows=160, seed=0)
    write_split(root / "transformed" / "validation", rows=80, seed=5)
    (root / "transformed" / "test").mkdir()
    (root / "transformed" / "test" / "part-0.parquet").write_bytes(b"not to be read")
    toy_spec().write(root / "graph" / "spec.json")
    artifacts = {"transformed": str(root / "transformed"), "transform_graph": str(root / "graph")}
    RunRecord(
        version="v1",
        status="succeeded",
        started="2026-01-01T00:00:00+00:00",
        parameters={"definition": {"name": "toy"}},
        steps=[StepRecord(name="transform", status="succeeded", artifacts=artifacts)],
    ).write(root / "run.json")
    return root


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The splits that Parquet files are read of."""
    from hemix.models.data import reader

    seen: set[str] = set()
    for name in ("read_metadata", "ParquetFile"):
        original = getattr(reader.pq, name)

        def watched(path: Any, *rest: Any, original: Any = original, **named: Any) -> Any:
            seen.add(Path(path).parent.name)
            return original(path, *rest, **named)

        monkeypatch.setattr(reader.pq, name, watched)
    return seen


def tune(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["tune", *arguments])
    if isinstance(result.exception, HemixError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_a_study_sees_no_test_rows_and_writes_page_and_recipe(
    run: Path, read: set[str], tmp_path: Path
) -> None:
    space = tmp_path / "space.yaml"
    space.write_text("training.learning_rate: {low: 1.0e-3, high: 3.0e-2, log: true}\n")
    arguments = ["--run", str(run), *SMALL, "--space", str(space), "--study", str(tmp_path / "s")]
    output = tune(*arguments, "--trials", "3")
    assert read == {"train", "validation"}
    assert re.search(r"Trial 3 of 3: (validation AUC|stopped early)", output)
    assert "Best of 3 trials" in output
    recipe = recipe_of(str(tmp_path / "s" / "best.yaml"))
    assert recipe.name == "compact-tuned"
    assert recipe.training.batch_size == 32
    objective = recipe.training.objective  # the toy log has single rows, of users with both labels
    assert (objective.jrc.weight, objective.jrc_without_lists) == (1, False)
    page = (tmp_path / "s" / "report.html").read_text()
    assert "at least 8 are needed" in page
    assert page.count("<svg") >= 3
    assert not re.search(r"(src|href)=\"(https?:)?//", page)
    own = tmp_path / "own.yaml"
    own.write_text("training.objective.ranknet.weight: {low: 0.1, high: 0.3}\n")
    tune(*arguments[:-4], "--space", str(own), "--study", str(tmp_path / "o"), "--trials", "1")
    objective = recipe_of(str(tmp_path / "o" / "best.yaml")).training.objective
    assert (objective.jrc.weight, objective.jrc_without_lists) == (0, False)
    assert objective.ranknet.weight > 0
    again = tune(*arguments, "--trials", "0")
    assert "Best of 3 trials" in again
    assert "Trial" not in again
    with pytest.raises(DefinitionError, match="another seeds"):
        tune(*arguments, "--trials", "0", "--seeds", "2")


def test_what_cannot_be_tuned_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"run\.json"):
        tune("--run", str(tmp_path))
    with pytest.raises(DefinitionError, match="'nothing'"):
        tune("--run", str(run), "--recipe", "nothing")
    with pytest.raises(DefinitionError, match=r"split.test.end: the data are those of the run"):
        tune("--run", str(run), "--set", "split.test.end=2022-05-01")
    with pytest.raises(DefinitionError, match="trials begin with new weights"):
        tune("--run", str(run), "--set", "training.warm_start=champion")
    record = RunRecord.read(run / "run.json")
    record.steps[0].artifacts = {}
    record.write(tmp_path / "run.json")
    with pytest.raises(DataError, match="made no transformed data"):
        tune("--run", str(tmp_path))


def results(trials: int) -> Results:
    rows = [
        TrialRow(
            number=number,
            outcome="trained",
            value=0.7 + 0.01 * (number % 5),
            values={
                "training.learning_rate": 1e-4 * 1.3**number,
                "model.blocks": 1 + number % 2,
                "model.tower": [8] if number % 3 else [8, 4],
                "model.token_norm": bool(number % 2),
            },
            own=number == 1,
            points=[(1, 0.6), (2, 0.65)],
            scores=[0.7],
            auc={"click": 0.7, "long_view": 0.71},
            parameters={"dense": 1000, "embedding": 10},
            seconds=2.0,
        )
        for number in range(1, trials + 1)
    ]
    shares = dict.fromkeys(SPACE, 0.25) if trials >= 8 else {}
    return Results(
        settings=StudySettings.of(base(), SPACE),
        trials=rows,
        importance=shares,
        unimportant="" if shares else "too few",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("trials", "pictures"), [(0, 0), (1, 0), (3, 3 + len(SPACE)), (12, 4 + len(SPACE))]
)
def test_the_page_shows_what_the_trials_can_say(trials: int, pictures: int) -> None:
    notes = StudyNotes(dataset="toy", version="v1", train_rows=10, validation_rows=5, best="b.yaml")
    page = render_study(results(trials), notes)
    assert page.count("<svg") == pictures
    assert ("No trial was trained" in page) == (trials == 0)
    assert ("too few" in page) == (trials < 8)
    if trials:
        best = results(trials).best
        assert best is not None
        assert f"trial {best.number} " in page
        rows = re.findall(r'<td class="n">\d+(?:<span class="small">as it was</span>)?</td>', page)
        assert len(rows) >= min(trials, 10)
