"""Several processes take the course of one, to the rounding of sums."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hemix.errors import DefinitionError
from hemix.models.data.toy import toy_spec
from hemix.models.rankers.ensemble.adaensemble import AdaEnsemble
from hemix.models.training import checkpoint
from hemix.models.training.distributed import World, _outside
from hemix.models.training.recipes import Recipe, recipe_of
from hemix.models.training.state import State
from hemix.models.training.trainer import Trainer
from tests.models.files import write_split
from tests.models.training.ranks import run_until, train_in
from tests.models.training.train_toy import toy_recipe, train

pytestmark = pytest.mark.slow

# float32 sums of two halves differ from the sum of the whole in the last bit (6e-8 of 1), and each
# step adds such a difference to the weights. A wrong gradient shows at 1e-2.
TOLERANCE = 2e-5
SHORT = {"training__epochs": "1", "training__refit": "false"}
SPARSE = {"model__embedding__sparse": "true", "training__embedding_optimizer": "adagrad"}

SPARSE_FIELDS = {key.replace("__", "."): value for key, value in SPARSE.items()}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distributed")
    write_split(folder / "train", rows=200, seed=0)
    write_split(folder / "validation", rows=81, seed=5)
    return folder


def state_of(folder: Path) -> tuple[State, dict[str, torch.Tensor]]:
    loaded = checkpoint.load(folder)
    assert loaded is not None
    tensors, state = loaded
    return State.model_validate(state), tensors


def assert_same_course(mine: Path, theirs: Path, *, free: str | None = None) -> None:
    """Equal steps; losses, metrics and every tensor of the checkpoint within the tolerance.

    ``free``: part of the name of parameters that change no loss; their gradient is rounding alone.
    """
    (one, own), (other, others) = state_of(mine), state_of(theirs)
    assert one.done
    assert other.done
    assert [(p.phase, p.step) for p in one.curve] == [(p.phase, p.step) for p in other.curve]
    losses = [[point.loss for point in state.curve] for state in (one, other)]
    assert losses[0] == pytest.approx(losses[1], abs=TOLERANCE)
    for a, b in zip(one.validation, other.validation, strict=True):
        assert a.logloss == pytest.approx(b.logloss, abs=TOLERANCE)
        assert a.auc == pytest.approx(b.auc, abs=0.01)  # a tie may fall the other way
    assert own.keys() == others.keys()
    for name, tensor in own.items():
        if free and free in name:
            continue
        torch.testing.assert_close(tensor, others[name], rtol=1e-4, atol=TOLERANCE, msg=name)


@pytest.mark.parametrize("more", [{}, SPARSE], ids=["dense tables", "sparse tables"])
def test_two_processes_take_the_course_of_one(
    data: Path, tmp_path: Path, more: dict[str, str]
) -> None:
    recipe = toy_recipe(model__embedding__dropout="0.1", **SHORT, **more)
    train(data, tmp_path / "one", recipe)
    train_in(2, data, tmp_path / "two", recipe)
    assert_same_course(tmp_path / "two", tmp_path / "one")


def test_an_ensemble_takes_it_too(data: Path, tmp_path: Path) -> None:
    """Experts without rows in one process, shares and losses over the rows of both."""
    recipe = recipe_of(
        "adaensemble",
        {
            "model.layers": "2",
            "model.exit_shares": "[]",
            "model.experts": "[gated, cross, polynomial]",
            "model.expert_shares": "[]",
            "model.chosen": "1",
            "model.attention": "[4]",
            "model.embedding.width": "4",
            "training.batch_size": "32",
            "training.evaluations": "1",
        },
    )
    alone = train(data, tmp_path / "one", recipe).ranker
    assert isinstance(alone, AdaEnsemble)
    assert alone.open_exits == 1  # told of the training's end
    assert alone.exit_share.tolist() != [0.5, 0.5]  # measured by it
    train_in(2, data, tmp_path / "two", recipe)
    assert_same_course(tmp_path / "two", tmp_path / "one")


def test_contrast_and_rows_of_zeros_take_it_too(data: Path, tmp_path: Path) -> None:
    """CL4CTR's masks and whole-batch means, Group-FTRL and FTRL: in parts, and in two processes
    whose gradients hold a batch's rows alone.
    """

    def recipe(**more: str) -> Recipe:
        own = {
            "model.layers": "2",
            "model.embedding.width": "4",
            "model.embedding.std": "0.3",
            "training.batch_size": "32",
            "training.epochs": "1",
            "training.evaluations": "1",
            "training.learning_rate": "0.01",
            "training.embedding_optimizer": "group_ftrl",
            "training.embedding_learning_rate": "0.05",
            "training.group_ftrl.group_l1": "0.3",
            "training.interaction_optimizer": "ftrl",
            "training.objective.cl4ctr.weight": "0.05",
        }
        return recipe_of("xdeepint", own | {k.replace("__", "."): v for k, v in more.items()})

    alone = train(data, tmp_path / "one", recipe())
    rows = [zeros for name, zeros in alone.zeros.items() if name.startswith("embedding.tables")]
    assert 0 < sum(zeros.zero for zeros in rows) < sum(zeros.of for zeros in rows)
    weights = alone.zeros["network.weights.0"]
    assert 0 < weights.zero < weights.of
    assert alone.state.curve[-1].terms["cl4ctr"] > 0
    train(data, tmp_path / "parts", recipe(training__accumulate="2"))
    # A key's bias adds the same to all of a query's scores.
    assert_same_course(tmp_path / "parts", tmp_path / "one", free="qkv.bias")
    train_in(2, data, tmp_path / "two", recipe(model__embedding__sparse="true"))
    assert_same_course(tmp_path / "two", tmp_path / "one", free="qkv.bias")


def test_first_order_weights_stay_out_of_the_dense_average() -> None:
    """Where their gradients are sparse; and those of numbers, where there are none."""
    spec = toy_spec().model_copy(update={"numeric": ()})
    for sparse in (True, False):
        recipe = recipe_of("fm", SPARSE_FIELDS if sparse else {})
        ranker = recipe.build(spec)
        out = {name for name, p in ranker.named_parameters() if _outside(ranker, p)}
        numbers = {"embedding.buckets.weight", "embedding.directions"}
        numbers |= {"first_order.buckets.weight", "first_order.directions"}
        tables = {n for n, _ in ranker.named_parameters() if ".tables." in n} if sparse else set()
        assert out == numbers | tables


def test_any_number_of_processes_goes_on_from_a_checkpoint(data: Path, tmp_path: Path) -> None:
    """One process up to step 5, two up to step 9, one to the end and through the refit."""
    recipe = toy_recipe(training__epochs="1")
    train(data, tmp_path / "straight", recipe)
    folder = tmp_path / "changing"
    folders = data / "train", data / "validation"
    run_until(Trainer(recipe, toy_spec(), *folders, folder), 5)
    train_in(2, data, folder, recipe, end_at=4)
    assert state_of(folder)[0].step == 9
    train(data, folder, recipe)
    assert_same_course(folder, tmp_path / "straight")


def test_fewer_rows_than_a_batch_are_refused(data: Path, tmp_path: Path) -> None:
    recipe: Recipe = toy_recipe(training__batch_size="256")
    folders = data / "train", data / "validation"
    with pytest.raises(DefinitionError, match=r"2 processes.*256.*200 training rows"):
        Trainer(recipe, toy_spec(), *folders, tmp_path, world=World(rank=1, size=2))
