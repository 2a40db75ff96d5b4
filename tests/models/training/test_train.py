"""Training: learns, stops early, and survives being killed without a bit of difference."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hemix.errors import DataError, StorageError
from hemix.models.data.reader import ParquetReader
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.registry import build
from hemix.models.training import checkpoint
from hemix.models.training.losses import multi_task_bce
from hemix.models.training.optimizers import make_optimizers
from hemix.models.training.recipes import TrainingConfig, recipe_of
from hemix.models.training.state import Trained
from hemix.models.training.validation import evaluate
from tests.models.files import write_split, write_splits
from tests.models.training.train_toy import HASTY, toy_recipe, train

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_splits(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def straight(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    """The toy recipe's training and its folder."""
    folder = tmp_path_factory.mktemp("straight")
    return folder, train(data, folder, toy_recipe())


@pytest.mark.slow
def test_a_killed_training_ends_with_the_same_bits(
    data: Path, straight: tuple[Path, Trained], tmp_path: Path
) -> None:
    whole = straight[1].ranker.state_dict()

    def run(*arguments: str) -> int:
        command = [sys.executable, "-m", "tests.models.training.train_toy", str(data), *arguments]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        return done.returncode

    folder = tmp_path / "killed"
    # 12 steps per epoch and 2 epochs: first in an epoch's middle, then (7 + 22 > 24) in the refit.
    assert run(str(folder), "7") == -signal.SIGKILL
    assert run(str(folder), "22") == -signal.SIGKILL
    resumed = train(data, folder, toy_recipe())
    killed = resumed.ranker.state_dict()
    assert resumed.state.phase == "refit"
    assert killed.keys() == whole.keys()
    for name, weight in whole.items():
        assert torch.equal(killed[name], weight), name


@pytest.mark.slow
def test_a_finished_training_is_not_repeated(data: Path, straight: tuple[Path, Trained]) -> None:
    folder, first = straight
    again = train(data, folder, toy_recipe(), kill_at=0)  # a single step would kill this test
    for name, weight in first.ranker.state_dict().items():
        assert torch.equal(again.ranker.state_dict()[name], weight)
    assert again.state.curve == first.state.curve


@pytest.mark.slow
def test_a_checkpoint_of_another_recipe_is_ignored(data: Path, tmp_path: Path) -> None:
    short = {"training__epochs": "1", "training__refit": "false"}
    train(data, tmp_path, toy_recipe(**short, training__seed="1"))
    other = train(data, tmp_path, toy_recipe(**short))
    fresh = train(data, tmp_path / "fresh", toy_recipe(**short))
    for name, weight in fresh.ranker.state_dict().items():
        assert torch.equal(other.ranker.state_dict()[name], weight)


@pytest.mark.slow
def test_a_broken_checkpoint_is_named(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path, toy_recipe(training__epochs="1", training__refit="false"))
    file = tmp_path / checkpoint.NAME
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(StorageError, match=checkpoint.NAME):
        train(data, tmp_path, toy_recipe(training__epochs="1", training__refit="false"))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["compact", "dcnv2", "din"])
def test_every_ranker_learns_the_rule(recipe: str, tmp_path: Path) -> None:
    write_split(tmp_path / "train", rows=600, seed=0)
    write_split(tmp_path / "validation", rows=200, seed=5)
    chosen = recipe_of(
        recipe,
        {
            "training.batch_size": "32",
            "training.epochs": "8",
            "training.learning_rate": "0.01",
            "training.embedding_learning_rate": "0.02",
            "training.patience": "100",
        },
    )
    trained = train(tmp_path, tmp_path / "checkpoints", chosen)
    assert trained.metrics["validation_click_auc"] > 0.8
    assert trained.state.curve[-1].loss < trained.state.curve[0].loss - 0.2


@pytest.mark.slow
def test_early_stopping_keeps_the_best_weights(data: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(training__refit="false", training__epochs="50", **HASTY)
    trained = train(data, tmp_path, recipe)
    state = trained.state
    assert state.step < 50 * 12
    assert state.best is not None
    scores = [point.score for point in state.validation]
    assert state.best.score == max(scores)
    assert len(scores) - 1 - scores.index(max(scores)) == recipe.training.patience

    reader = ParquetReader(toy_spec(), [data / "validation"], batch_size=64)
    again = evaluate(trained.ranker, reader)
    assert again["auc"] == state.best.auc


@pytest.mark.slow
def test_sparse_tables_train_like_dense_ones(data: Path, tmp_path: Path) -> None:
    common = {
        "training__embedding_optimizer": "adagrad",
        "training__epochs": "1",
        "training__refit": "false",
    }
    dense = train(data, tmp_path / "dense", toy_recipe(**common))
    sparse = train(data, tmp_path / "sparse", toy_recipe(**common, model__embedding__sparse="true"))
    for name, weight in dense.ranker.state_dict().items():
        torch.testing.assert_close(sparse.ranker.state_dict()[name], weight)


@pytest.mark.slow
def test_bfloat16_trains(data: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(training__precision="bfloat16", training__epochs="1")
    assert train(data, tmp_path, recipe).metrics["validation_click_logloss"] < 1


def test_one_class_validation_is_refused(data: Path, tmp_path: Path) -> None:
    (tmp_path / "train").symlink_to(data / "train")
    table = write_split(tmp_path / "validation", rows=40, files=1)
    for task in ("label_click", "label_long_view"):
        index = table.column_names.index(task)
        zeros = [0] * table.num_rows
        table = table.set_column(index, task, pa.array(zeros, pa.int8()))
    pq.write_table(table, tmp_path / "validation" / "part-0.parquet")
    with pytest.raises(DataError, match="one class"):
        train(tmp_path, tmp_path / "checkpoints", toy_recipe())


def test_vectors_are_not_decayed() -> None:
    recipe = recipe_of("compact")
    ranker = build(recipe.ranker, toy_spec(), recipe.model)
    optimizers = make_optimizers(ranker, recipe.training)
    grouped = [p for o in optimizers.values() for g in o.param_groups for p in g["params"]]
    assert len(grouped) == len(list(ranker.parameters()))
    assert {id(p) for p in grouped} == {id(p) for p in ranker.parameters()}
    plain = optimizers["dense"].param_groups[1]
    assert plain["weight_decay"] == 0
    assert all(p.ndim == 1 for p in plain["params"])


def test_adam_has_its_decay_in_the_gradient_of_the_tables() -> None:
    training = TrainingConfig(
        embedding_optimizer="adam", embedding_learning_rate=0.1, embedding_weight_decay=0.5
    )
    ranker = build("hemix", toy_spec(), recipe_of("compact").model)
    table = ranker.embedding_parameters()[0]
    before = table.detach().clone()
    table.grad = torch.zeros_like(table)
    make_optimizers(ranker, training)["tables"].step()
    # Adam's first step is its rate in the direction of the gradient, here of the decay alone.
    assert torch.allclose(table, before - 0.1 * before.sign(), atol=1e-3)


GOLDEN = (1.3900831, 1.3848934, 1.3903210, 1.3857818, 1.3903075)
"""Losses of the first steps of the run below, CPU float32."""


def test_golden_loss_curve() -> None:
    torch.manual_seed(0)
    config = HeMixConfig(
        token_width=8,
        rank=16,
        blocks=2,
        ffn_expansion=2,
        tower=(8,),
        embedding=EmbeddingConfig(width=8, std=0.01),
    )
    ranker = build("hemix", toy_spec(), config)
    training = TrainingConfig(learning_rate=1e-3, embedding_learning_rate=1e-3)
    optimizers = make_optimizers(ranker, training)
    losses = []
    for step in range(5):
        batch = toy_batch(rows=64, seed=step)
        loss = multi_task_bce(ranker(batch), batch.labels, {})
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        loss.backward()
        for optimizer in optimizers.values():
            optimizer.step()
        losses.append(loss.item())
    assert losses == pytest.approx(GOLDEN, abs=1e-5)
