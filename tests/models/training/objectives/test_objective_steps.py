"""The loss of a batch does not depend on how it is cut: parts, processes; and every term does something."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import torch
import yaml
from torch import Tensor, nn

from hemix.features.definition import EXAMPLES, DatasetDefinition
from hemix.features.schema import ColumnTypes
from hemix.features.shared_state.columns import own_columns, personal_numbers
from hemix.features.transform_plan import make_plan
from hemix.models.data.batch import Batch
from hemix.models.data.reader import ParquetReader
from hemix.models.data.shared_state import state_of, user_state
from hemix.models.data.toy import toy_spec
from hemix.models.objective_config import Comparing, GroupedConfig, ObjectiveConfig, TermConfig
from hemix.models.rankers.base import Ranker
from hemix.models.training import checkpoint
from hemix.models.training.distributed import World
from hemix.models.training.objectives.auxiliary import AUXILIARY, Auxiliary
from hemix.models.training.recipes import Recipe
from hemix.models.training.train_step import Steps
from hemix.models.training.trainer import Trainer
from hemix.models.training.validation import evaluate
from tests.models.files import write_split
from tests.models.training.ranks import run_until, train_in
from tests.models.training.test_distributed import assert_same_course
from tests.models.training.train_toy import toy_recipe, train

ALL = {
    "training__objective__in_batch_softmax__weight": "0.1",
    "training__objective__bpr__weight": "0.5",
    "training__objective__rcr__weight": "0.5",
    "training__objective__jrc__weight": "0.2",
    "training__objective__jrc__by": "request",
    "training__objective__group_ce__weight": "0.5",
    "training__objective__group_ce__codes": "3",
}
ONCE = {"training__epochs": "1", "training__refit": "false", "training__evaluations": "1"}
TERMS = {k: v for k, v in ObjectiveConfig() if isinstance(v, TermConfig)}
OTHERS = [name for name in TERMS if name != "bce"]
COMPARING = [name for name in OTHERS if isinstance(TERMS[name], Comparing)]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("objective")
    write_split(folder / "train", rows=96, seed=0)
    write_split(folder / "validation", rows=40, seed=5)
    return folder


def batch_of(folder: Path) -> Batch:
    reader = ParquetReader(
        toy_spec(), [folder / "train"], batch_size=48, shuffle_rows=96, keys=("user", "request"),
        together="user",
    )  # fmt: skip
    return next(iter(reader.epoch()))


def gradients(batch: Batch, **overrides: str) -> tuple[float, dict[str, Tensor], Steps]:
    """The loss, the gradient and the steps after one step that moves nothing."""
    return steps_of(toy_recipe(training__batch_size="48", **overrides), batch)


def steps_of(recipe: Recipe, batch: Batch) -> tuple[float, dict[str, Tensor], Steps]:
    torch.manual_seed(3)
    ranker = recipe.build(toy_spec()).train()
    training = recipe.training.model_copy(update={"clip_norm": 1e9})
    steps = Steps(ranker, training, World(device=CPU))
    torch.manual_seed(4)
    loss = steps.take(batch, 1, 1e-9)
    found = {n: p.grad for n, p in ranker.named_parameters() if p.grad is not None}
    return loss.item(), found, steps


def test_two_parts_have_the_gradient_of_the_whole(data: Path) -> None:
    batch = batch_of(data)
    one, slopes, steps = gradients(batch, **ALL)
    two, others, parted = gradients(batch, training__accumulate="2", **ALL)
    assert two == pytest.approx(one, rel=1e-5)
    assert slopes.keys() == others.keys()
    for name, slope in slopes.items():
        torch.testing.assert_close(others[name], slope, rtol=1e-3, atol=1e-6, msg=name)
    for name, value in steps.told.items():
        torch.testing.assert_close(parted.told[name], value, rtol=1e-4, atol=1e-6, msg=name)


@pytest.mark.slow
def test_two_processes_take_the_course_of_one(data: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(**ALL, **ONCE)
    train(data, tmp_path / "one", recipe)
    train_in(2, data, tmp_path / "two", recipe)
    assert_same_course(tmp_path / "two", tmp_path / "one")


@pytest.mark.parametrize("term", OTHERS)
def test_every_weight_counts(data: Path, term: str) -> None:
    """Weight 0 against 1,000 from one state: another loss, another gradient, and the term's name."""
    batch = batch_of(data)
    small = {"training__objective__group_ce__codes": "3"}
    plain, slopes, without = gradients(batch, **small)
    loud, others, steps = gradients(
        batch, **small, **{f"training__objective__{term}__weight": "1000"}
    )
    assert set(without.told) == {"bce"}
    assert term in steps.told
    assert loud - plain == pytest.approx(1000 * steps.told[term].item(), rel=1e-3)
    assert steps.told[term].item() != 0
    gaps = [float((others[name] - slope).abs().max()) for name, slope in slopes.items()]
    assert max(gaps) > 1e-2


class Length(Auxiliary):
    """A penalty with a parameter of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, ranker: Ranker, batch: Batch) -> Tensor:
        field = ranker.spec.categorical[1]
        return self.scale * ranker.embedding.rows(field, batch).square().sum(1).mean()


@pytest.mark.parametrize("compare", ["0", "1"], ids=["alone", "beside a comparing term"])
def test_an_auxiliary_term_of_parts_is_that_of_the_whole(
    data: Path, compare: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new term is a configuration, a module and its name; parts, weight and log come with it."""

    class Wider(ObjectiveConfig):
        length: TermConfig = TermConfig()

    monkeypatch.setitem(AUXILIARY, "length", lambda term, ranker: Length())
    batch = batch_of(data)

    def step(weight: float, parts: str) -> tuple[float, dict[str, Tensor], Steps]:
        recipe = toy_recipe(training__batch_size="48", training__accumulate=parts)
        objective = Wider(
            length=TermConfig(weight=weight), rcr=GroupedConfig(weight=float(compare))
        )
        training = recipe.training.model_copy(update={"objective": objective})
        recipe = recipe.model_copy(update={"training": training})
        return steps_of(recipe, batch)

    plain, _, _ = step(0.0, "1")
    one, slopes, steps = step(1000.0, "1")
    two, others, _ = step(1000.0, "2")
    assert one - plain == pytest.approx(1000 * steps.told["length"].item(), rel=1e-3)
    assert two == pytest.approx(one, rel=1e-5)
    assert slopes["objective.auxiliary.length.scale"].abs() > 0
    for name, slope in slopes.items():
        torch.testing.assert_close(others[name], slope, rtol=1e-3, atol=1e-6, msg=name)


def test_clicks_alone_teach_nothing(data: Path) -> None:
    """No group with both labels: every comparing term is 0, and so is its gradient."""
    batch = batch_of(data)
    clicks = Batch(
        size=batch.size, ids=batch.ids, numbers=batch.numbers, lists=batch.lists, keys=batch.keys,
        labels={task: torch.ones(batch.size) for task in batch.labels}, shared=batch.shared,
    )  # fmt: skip
    weights = {f"training__objective__{name}__weight": "1" for name in COMPARING}
    more = {"training__objective__group_ce__codes": "3", "training__objective__bce__weight": "0"}
    more["training__objective__group_ce__quantised"] = "0"
    loss, slopes, steps = gradients(clicks, **weights, **more)
    assert loss == 0
    assert all(not slope.any() for slope in slopes.values())
    shares = [value for name, value in steps.told.items() if "rows/" in name]
    assert len(shares) >= 6
    assert not any(shares)


def test_the_shared_state_is_that_of_the_first_row(data: Path) -> None:
    batch = batch_of(data)
    state = batch.on_state("user")
    users, times = batch.keys["user"].tolist(), batch.keys["time"].tolist()
    for row in range(batch.size):
        own = [i for i in range(batch.size) if users[i] == users[row]]
        first = min(own, key=lambda i: times[i])
        assert state.numbers["age"][row] == batch.numbers["age"][first]
        assert state.ids["item_id"][row] == batch.ids["item_id"][row]
        a, b = (
            lists.values[:, lists.offsets[i] : lists.offsets[i + 1]]
            for lists, i in ((state.lists["global"], row), (batch.lists["global"], first))
        )
        assert torch.equal(a, b)
    assert "request" not in batch.shared  # rows of one moment are on one state as they are


def test_rows_of_a_user_stand_together_and_an_epoch_has_them_all(data: Path) -> None:
    for together in ("user", None):
        reader = ParquetReader(
            toy_spec(), [data / "train"], batch_size=16, seed=2, shuffle_rows=96, keys=(),
            together=together,
        )  # fmt: skip
        batches = list(reader.epoch())
        users = torch.cat([batch.keys["user"] for batch in batches])
        assert len(torch.unique(torch.cat([b.keys["request"] for b in batches]))) == 96
        runs = 1 + int((users.diff() != 0).sum())
        assert (runs == len(torch.unique(users))) == (together == "user")


def test_counters_of_user_and_candidate_are_missing_on_a_shared_state(data: Path) -> None:
    spec = toy_spec()
    marked = tuple(n.model_copy(update={"personal": n.name == "clicks"}) for n in spec.numeric)
    batch = batch_of(data)
    state = state_of(spec.model_copy(update={"numeric": marked}), batch, torch.tensor([3, 3, 5]))
    assert state.numbers["clicks"].tolist() == [0, 0, 0] == state.ids["clicks_bucket"].tolist()
    assert state.numbers["age"].tolist() == batch.numbers["age"][[3, 3, 5]].tolist()


@pytest.mark.slow
def test_codebooks_resume_and_evaluation_does_not_write_them(data: Path, tmp_path: Path) -> None:
    """Killed after three steps and gone on: the checkpoint of one that ran through, to the bit."""
    recipe = toy_recipe(**ALL, **ONCE)
    folders = data / "train", data / "validation"
    through = Trainer(recipe, toy_spec(), *folders, tmp_path / "through")
    through.run()
    run_until(Trainer(recipe, toy_spec(), *folders, tmp_path / "again"), 3)
    Trainer(recipe, toy_spec(), *folders, tmp_path / "again").run()
    (one, _), (two, _) = (load_checkpoint(tmp_path / name) for name in ("through", "again"))
    assert one.keys() == two.keys()
    assert any("codebooks" in name for name in one)
    assert all(torch.equal(value, two[name]) for name, value in one.items())
    held = {n: v.clone() for n, v in through.ranker.state_dict().items()}
    assert bool(held["objective.group_ce.codebooks.ready"])
    evaluate(through.ranker, through.validation)
    assert all(torch.equal(v, held[n]) for n, v in through.ranker.state_dict().items())


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, object]]:
    loaded = checkpoint.load(folder)
    assert loaded is not None
    return loaded


def test_the_metric_and_the_loss_mean_the_same_state() -> None:
    """Evaluation asks the definition and training the contract; both name the same columns."""
    kuairand = EXAMPLES / "kuairand" / "definition.yaml"
    value = yaml.safe_load(kuairand.read_text())
    value["counters"].append({"key": ["user_id", "tag"], "windows": ["1d"]})
    definition = DatasetDefinition.model_validate(value)
    types = ColumnTypes(
        user_id=pa.int64(),
        item_id=pa.int64(),
        users=dict.fromkeys(definition.user_columns, pa.int64()),
        items=dict.fromkeys(definition.item_columns, pa.int64()),
        context=dict.fromkeys(definition.context_columns, pa.int64()),
    )
    plan = make_plan(definition, types, dict.fromkeys(definition.tasks, 0.5))
    spec = plan.spec({vocabulary.name: 9 for vocabulary in plan.vocabularies})
    state = user_state(spec)
    columns = [c.column for sequence in spec.sequences for c in sequence.columns]
    assert {*state.ids, *state.numbers, *columns} == set(own_columns(spec))
    personal = [f"{number.name}_scaled" for number in personal_numbers(plan, definition)]
    assert len(personal) > 2
    assert sorted(state.personal) == sorted(personal)
