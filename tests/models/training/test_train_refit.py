"""A refit trains the steps that were best, also where patience ended the fit and across a kill."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hemix.models.data.toy import toy_spec
from hemix.models.training.state import Trained
from hemix.models.training.trainer import Trainer
from tests.models.files import write_splits
from tests.models.training.ranks import run_until
from tests.models.training.train_toy import HASTY, toy_recipe, train

RECIPE = toy_recipe(training__epochs="6", training__patience="1", **HASTY)
REFIT_BATCHES = (200 + 80) // 16


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_splits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train(data, tmp_path_factory.mktemp("straight"), RECIPE)


def fit_steps(trained: Trained) -> int:
    return trained.state.validation[-1].step


@pytest.mark.slow
def test_a_refit_after_early_stopping_trains_the_best_steps(straight: Trained) -> None:
    state = straight.state
    assert state.best is not None
    assert fit_steps(straight) < 6 * straight.steps_per_epoch
    assert state.phase == "refit"
    assert state.step == max(1, round(state.best.epoch * REFIT_BATCHES))
    refit = [point for point in state.curve if point.phase == "refit"]
    assert refit[-1].step == state.step
    torch.manual_seed(RECIPE.training.seed)
    new = RECIPE.build(toy_spec()).state_dict()
    kept = straight.ranker.state_dict()
    same = [name for name, weight in new.items() if torch.equal(weight, kept[name])]
    assert set(same) <= {name for name, _ in straight.ranker.named_buffers()}


@pytest.mark.slow
@pytest.mark.parametrize("refit_steps", [0, 3])
def test_a_killed_refit_ends_with_the_same_bits(
    data: Path, tmp_path: Path, straight: Trained, refit_steps: int
) -> None:
    folders = data / "train", data / "validation"
    assert refit_steps < straight.state.step
    run_until(Trainer(RECIPE, toy_spec(), *folders, tmp_path), fit_steps(straight) + refit_steps)
    resumed = train(data, tmp_path, RECIPE)
    assert resumed.state.step == straight.state.step
    assert resumed.state.best == straight.state.best
    weights = straight.ranker.state_dict()
    for name, weight in resumed.ranker.state_dict().items():
        assert torch.equal(weight, weights[name]), name
