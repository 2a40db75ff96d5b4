"""Searching: reproducible, survives being killed, shared by processes, refuses what does not fit."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hemix.errors import DefinitionError, StorageError
from hemix.models.search_space import Choice, Range
from hemix.models.training.recipes import recipe_of
from hemix.models.training.trainer import Trainer
from hemix.models.tuning.results import ENOUGH, Results, read_results, write_best
from hemix.models.tuning.space import default_space, read_space, value_of
from hemix.models.tuning.study import StudyFolder
from hemix.models.tuning.tune import tune
from tests.models.files import write_split, write_splits
from tests.models.tuning.tune_toy import SPACE, base, rows_in, study_in

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]
TRIALS = 4


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_splits(tmp_path_factory.mktemp("data"), train=320, validation=100)


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> StudyFolder:
    """A study that nothing interrupted."""
    folder = study_in(tmp_path_factory.mktemp("straight"), data)
    tune(folder, rows_in(data), trials=TRIALS)
    return folder


def outcome(results: Results) -> list[object]:
    """All of the trials but the time they took."""
    return [row.model_dump(exclude={"seconds"}) for row in results.trials]


@pytest.mark.slow
def test_a_study_begins_with_the_recipe_as_it_is_and_finds_a_better_one(
    straight: StudyFolder, tmp_path: Path
) -> None:
    results = read_results(straight)
    assert [row.number for row in results.trials] == [1, 2, 3, 4]
    assert results.own is not None
    assert results.own.number == 1
    assert results.own.values == {field: value_of(base(), field) for field in SPACE}
    assert results.best is not None
    assert results.top == max(row.value or 0 for row in results.trained) > 0.5
    for row in results.trials:
        assert all(SPACE[field].holds(value) for field, value in row.values.items())
        assert len({tuple(map(str, r.values.values())) for r in results.trials}) == TRIALS
    path = write_best(results, tmp_path)
    assert path is not None
    found = recipe_of(str(path))
    assert found.name == "compact-tuned"
    for field, value in results.best.values.items():
        assert value_of(found, field) == value
    for field in ("seed", "batch_size", "refit"):
        assert getattr(found.training, field) == getattr(base().training, field)
    assert not list((straight.root / "trials").iterdir()), "checkpoints of finished trials go"


@pytest.mark.slow
def test_the_best_recipe_trains_to_the_value_that_the_study_holds(
    straight: StudyFolder, data: Path, tmp_path: Path
) -> None:
    results, rows = read_results(straight), rows_in(data)
    recipe = results.best_recipe()
    assert recipe is not None
    trained = Trainer(recipe, rows.spec, rows.train, rows.validation, tmp_path).run()
    assert trained.state.best is not None
    assert trained.state.best.score == results.top


@pytest.mark.slow
def test_a_killed_study_goes_on_to_the_same_trials(
    straight: StudyFolder, data: Path, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "tests.models.tuning.tune_toy", str(data), str(tmp_path)]
    done = subprocess.run(
        [*command, str(TRIALS), "6"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    cut = read_results(study_in(tmp_path, data))
    assert [row.outcome for row in cut.trials] == ["trained", "cut off"]
    assert 0 < len(cut.trials[1].points) < 4
    heard: list[str] = []
    folder = study_in(tmp_path, data)
    tune(folder, rows_in(data), trials=TRIALS, tell=heard.append)
    assert heard[0].startswith(f"Trial 2 of {TRIALS}, gone on with")
    assert outcome(read_results(folder)) == outcome(read_results(straight))
    tune(folder, rows_in(data), trials=TRIALS, tell=heard.append)
    assert read_results(folder).trials == read_results(study_in(tmp_path, data)).trials


@pytest.mark.slow
def test_another_seed_gives_other_trials(straight: StudyFolder, data: Path, tmp_path: Path) -> None:
    folder = study_in(tmp_path, data, seed=1)
    tune(folder, rows_in(data), trials=2)
    first, second = read_results(straight).trials[1], read_results(folder).trials[1]
    assert first.values != second.values


@pytest.mark.slow
def test_time_that_is_up_leaves_the_trial_for_the_next_call(data: Path, tmp_path: Path) -> None:
    folder, heard = study_in(tmp_path, data), list[str]()
    tune(folder, rows_in(data), trials=1, minutes=0.0005, tell=heard.append)
    assert [row.outcome for row in read_results(folder).trials] in ([], ["cut off"])
    assert "continues" in heard[-1]
    tune(folder, rows_in(data), trials=1)
    assert [row.outcome for row in read_results(folder).trials] == ["trained"]


def test_processes_work_on_different_trials_and_take_over_what_was_cut_off(
    data: Path, tmp_path: Path
) -> None:
    one, two = study_in(tmp_path, data), study_in(tmp_path, data)
    with one.claim(2) as first, two.claim(2) as second, two.claim(2) as third:
        assert first is not None
        assert second is not None
        assert [first.trial.number, second.trial.number] == [0, 1]
        assert third is None
        expected = dict(first.trial.params)
    with two.claim(2) as again:
        assert again is not None
        assert again.resumed
        assert again.trial.number == 0
        assert again.trial.params == expected


@pytest.mark.slow
def test_hopeless_trials_are_stopped_early(data: Path, tmp_path: Path) -> None:
    folder = study_in(tmp_path, data)
    shape = {"model.blocks": 1, "model.tower": "[8]"}
    for rate, norm in ((0.02, False), (0.03, False), (0.02, True), (0.03, True), (1e-4, True)):
        found = {"training.learning_rate": rate, "model.token_norm": norm}
        folder.study.enqueue_trial({**shape, **found})
    tune(folder, rows_in(data), trials=6)
    results = read_results(folder)
    last = results.trials[-1]
    assert [row.outcome for row in results.trials] == ["trained"] * 5 + ["stopped early"]
    assert 2 <= len(last.points) < 4
    at = len(last.points)
    values = sorted(dict(row.points)[at] for row in results.trials[:-1])
    assert max(value for _, value in last.points) < values[2], "the median of those before it"
    assert last.value == last.points[-1][1]
    assert len(results.trained) < ENOUGH
    assert not results.importance


@pytest.mark.slow
def test_several_seeds_are_averaged(data: Path, tmp_path: Path) -> None:
    folder = study_in(tmp_path, data, seeds=2, pruner="hyperband")
    tune(folder, rows_in(data), trials=1)
    (row,) = read_results(folder).trials
    assert len(row.scores) == 2
    assert row.scores[0] != row.scores[1]
    assert row.value == pytest.approx(sum(row.scores) / 2)
    assert row.points[-1] == (5, row.value)


def test_importances_need_enough_trials(straight: StudyFolder) -> None:
    results = read_results(straight)
    assert results.importance == {}
    assert f"at least {ENOUGH}" in results.unimportant


def test_a_study_of_other_settings_or_data_is_refused(
    straight: StudyFolder, data: Path, tmp_path: Path
) -> None:
    with pytest.raises(DefinitionError, match="another seeds"):
        study_in(straight.root, data, seeds=2)
    write_split(tmp_path / "train", rows=40, seed=3)
    write_split(tmp_path / "validation", rows=40, seed=5)
    with pytest.raises(DefinitionError, match="another data"):
        study_in(straight.root, tmp_path)
    with pytest.raises(DefinitionError, match="other data"):
        tune(straight, rows_in(tmp_path), trials=TRIALS)
    with pytest.raises(StorageError, match="no study"):
        StudyFolder.existing(tmp_path)


@pytest.mark.slow
def test_trials_that_do_not_fit_are_told_and_do_not_end_the_study(
    data: Path, tmp_path: Path
) -> None:
    space = {
        "model.token_width": Choice(choices=(8, 16)),
        "model.mixer": Choice(choices=("hetero", "rankmixer")),
        "model.dynamic_global": Range(low=1, high=3),
    }
    folder = study_in(tmp_path, data, space=space)
    tune(folder, rows_in(data), trials=6)
    results = read_results(folder)
    impossible = [row for row in results.trials if row.outcome == "not possible"]
    assert impossible
    assert len(impossible) < 6
    assert all("mixer rankmixer splits token_width" in row.reason for row in impossible)


@pytest.mark.parametrize("recipe", ["compact", "base", "unirank_like", "dcnv2", "din"])
def test_default_spaces_hold_the_recipe_itself(recipe: str) -> None:
    chosen = recipe_of(recipe)
    space = default_space(chosen)
    assert {"training.learning_rate", "model.embedding.width"} <= set(space)
    assert all(domain.holds(value_of(chosen, field)) for field, domain in space.items())


def test_a_file_changes_the_default_space(tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(
        "training.learning_rate: {low: 1.0e-3, high: 2.0e-3}\n"
        "model.blocks: null\n"
        "training.batch_size: {choices: [64, 128]}\n"
    )
    chosen = recipe_of("compact")
    space, before = read_space(file, chosen), default_space(chosen)
    assert space["training.learning_rate"] == Range(low=1e-3, high=2e-3)
    assert space["training.batch_size"] == Choice(choices=(64, 128))
    assert set(before) - set(space) == {"model.blocks"}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("model.depth: {low: 1, high: 2}", r"model\.depth: .*no field 'model.depth'"),
        ("depth: {low: 1, high: 2}", "depth"),
        ("training.learning_rate: {low: 0.1, high: 0.01}", r"training.learning_rate.*not below"),
        ("training.learning_rate: {low: 0.0, high: 0.1, log: true}", "log needs low above 0"),
        ("training.learning_rate: {low: -1.0, high: 0.1}", r"training.learning_rate: -1.0"),
        ("training.epochs: {low: 1.5, high: 2.5}", r"training.epochs: 1.5 does not fit"),
        ("model.token_width: {choices: [32, 33]}", r"model.token_width: 33 .*multiple"),
        ("model.norm: {choices: [none, batch]}", "model.norm: 'batch'"),
        ("model.norm: {choices: [none]}", r"model.norm.*at least two"),
        ("model.rank: {low: 4, hi: 8}", r"model.rank.hi"),
        ("model.rank: 4", "model.rank: 4 is not a range"),
        ("model.rank: {low: 4, high: 8, step: 0}", "step 0 is not above 0"),
        ("model.positions: null", "model.positions: it is not searched anyway"),
        ("training.seed: {low: 1, high: 9}", "training.seed: the search sets it"),
        ("[1, 2]", "it holds a list"),
        ("a: [", "not valid YAML"),
    ],
)
def test_a_wrong_space_is_named(text: str, named: str, tmp_path: Path) -> None:
    file = tmp_path / "space.yaml"
    file.write_text(text)
    with pytest.raises(DefinitionError, match=named) as error:
        read_space(file, recipe_of("compact"))
    assert str(file) in str(error.value)


def test_a_missing_space_is_named(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match=r"nothing\.yaml: cannot read"):
        read_space(tmp_path / "nothing.yaml", recipe_of("compact"))


def test_weights_of_the_recipe_s_terms_are_searched() -> None:
    """Beside log loss a term's weight is a field to search; the recipe's own value is in it."""
    plain = default_space(recipe_of("compact"))
    assert not any("objective" in field for field in plain)
    more = default_space(recipe_of("compact", {"training.objective.rcr.weight": "5.0"}))
    assert set(more) - set(plain) == {"training.objective.rcr.weight"}
    assert more["training.objective.rcr.weight"].holds(5.0)
