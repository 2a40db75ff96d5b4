"""Group-FTRL and FTRL: loops in float64, touched rows alone, and a training that takes rows to 0."""

from __future__ import annotations

import doctest
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hemix.models.training.ftrl
from hemix.errors import DefinitionError
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.ftrl_config import FTRLConfig, GroupFTRLConfig
from hemix.models.training import checkpoint
from hemix.models.training.ftrl import FTRL, GroupFTRL
from hemix.models.training.optimizers import make_optimizers, set_rates
from hemix.models.training.recipes import recipe_of
from hemix.models.versions import zero_rows
from hemix.models.versions.version import load, write
from tests.models.training.test_steps import steps_of
from tests.models.training.train_toy import toy_recipe

STRONG = GroupFTRLConfig(beta=1.0, group_l1=0.5, l2=0.1)
RATE = 0.3
Row = list[float]


def loop_row(w: Row, n: Row, z: Row, g: Row, c: GroupFTRLConfig) -> None:
    """One row's step, number by number."""
    for k in range(len(w)):
        new = n[k] + g[k] ** 2
        z[k] += g[k] - (math.sqrt(new) - math.sqrt(n[k])) / RATE * w[k]
        n[k] = new
    length, most = math.sqrt(sum(one**2 for one in z)), c.group_l1 * math.sqrt(len(z))
    for k in range(len(w)):
        pulled = 0.0
        if length > most:
            pulled = z[k] * (most / length - 1) / ((c.beta + math.sqrt(n[k])) / RATE + c.l2)
        w[k] = pulled


def gradients(seed: int = 0, steps: int = 6) -> list[Tensor]:
    """Of a table [7, 3], in float64: row 0 never has one, row 1 late, the others now and then."""
    torch.manual_seed(seed)
    found = []
    for step in range(steps):
        g = torch.randn(7, 3, dtype=torch.float64) * 0.4
        g[torch.rand(7) < 0.4] = 0
        g[0] = 0
        g[1] *= step > 2
        found.append(g)
    return found


def sparse(g: Tensor) -> Tensor:
    """Every row with a gradient three times, a third each."""
    rows = g.any(1).nonzero()[:, 0].repeat(3)
    return torch.sparse_coo_tensor(rows[None], g[rows] / 3, g.shape, check_invariants=True)


def test_group_ftrl_is_the_dense_loop_and_touches_a_batch_s_rows_alone() -> None:
    torch.manual_seed(1)
    first = torch.randn(7, 3, dtype=torch.float64) * 0.1
    w, n, z = first.tolist(), [[0.0] * 3 for _ in first], [[0.0] * 3 for _ in first]
    tables = [nn.Parameter(first.clone()) for _ in range(2)]
    optimizers = [GroupFTRL([table], STRONG, lr=RATE) for table in tables]
    for g in gradients():
        for row in range(7):  # the loop takes all rows, whether a batch touched them or not
            loop_row(w[row], n[row], z[row], g[row].tolist(), STRONG)
        for table, optimizer, gradient in zip(tables, optimizers, (g, sparse(g)), strict=True):
            table.grad = gradient
            optimizer.step()
            torch.testing.assert_close(table.detach(), first.new_tensor(w))
            torch.testing.assert_close(optimizer.state[table]["z"], first.new_tensor(z))
    kept = [any(row) for row in w]
    assert any(kept)
    assert kept.count(False) > 1  # row 0, which never has a gradient, and one that L1 takes


def test_ftrl_is_its_loop() -> None:
    c = FTRLConfig(learning_rate=RATE, initial=0.1, l1=0.2, l2=0.1)
    weight = nn.Parameter(torch.tensor([0.5, -0.4, 0.0], dtype=torch.float64))
    optimizer, w, n, z = FTRL([weight], c), weight.tolist(), [0.1] * 3, [0.0] * 3
    met = set()
    for row in gradients():
        weight.grad = row[2]
        optimizer.step()
        for k, g in enumerate(row[2].tolist()):
            new = n[k] + g * g
            z[k] += g - (math.sqrt(new) - math.sqrt(n[k])) / RATE * w[k]
            n[k] = new
            pulled = (math.copysign(c.l1, z[k]) - z[k]) / (math.sqrt(new) / RATE + 2 * c.l2)
            w[k] = pulled if abs(z[k]) > c.l1 else 0.0
        torch.testing.assert_close(weight.detach(), weight.new_tensor(w))
        met |= {one == 0 for one in w}
    assert met == {True, False}


@pytest.mark.parametrize("kind", ["rows", "weights"])
def test_initial_weights_are_kept_as_if_the_formula_had_given_them(kind: str) -> None:
    torch.manual_seed(0)
    first = torch.randn(5, 3, dtype=torch.float64)
    first[2] = 0
    weight = nn.Parameter(first.clone())
    optimizer: torch.optim.Optimizer
    if kind == "rows":
        config = STRONG.model_copy(update={"keep_initial": True})
        optimizer = GroupFTRL([weight], config, lr=RATE)
    else:
        optimizer = FTRL([weight], FTRLConfig(l1=0.2, l2=0.1, initial=0.1, keep_initial=True))
    weight.grad = torch.full_like(first, 1e-9)  # so small that the formula gives what was there
    optimizer.step()
    torch.testing.assert_close(weight.detach(), first, rtol=1e-6, atol=1e-8)


def test_a_table_without_any_gradient_begins_at_zero_too() -> None:
    table = nn.Parameter(torch.ones(2, 3))
    GroupFTRL([table], STRONG, lr=RATE).step()
    assert not table.any()


def test_a_training_goes_on_from_its_checkpoint() -> None:
    whole, part, resumed = (nn.Parameter(torch.ones(7, 3, dtype=torch.float64)) for _ in range(3))
    optimizers = {id(t): GroupFTRL([t], STRONG, lr=RATE) for t in (whole, part, resumed)}

    def take(table: nn.Parameter, gradient: Tensor) -> None:
        table.grad = gradient
        optimizers[id(table)].step()

    for number, g in enumerate(gradients()):
        take(whole, g)
        if number == 3:
            saved = checkpoint.optimizer_tensors(optimizers[id(part)], "tables")
            resumed.data.copy_(part.data)
            checkpoint.restore_optimizer(optimizers[id(resumed)], "tables", saved)
        take(part if number < 3 else resumed, g)
    assert torch.equal(whole, resumed)


FTRL_RECIPE = {
    "training__embedding_optimizer": "group_ftrl",
    "training__ema": "0",
    "training__group_ftrl__group_l1": "0.001",
    "training__embedding_learning_rate": "0.05",
}


def recipe(**fields: str) -> Any:
    return toy_recipe(**{**FTRL_RECIPE, **fields})


def test_steps_with_sparse_gradients_are_those_with_dense_ones() -> None:
    found = []
    for given in ("true", "false"):
        steps = steps_of(recipe(model__embedding__sparse=given))
        for number in range(1, 4):
            steps.take(toy_batch(rows=16, seed=number), number, 1.0)
        found.append({n: p.detach().clone() for n, p in steps.ranker.named_parameters()})
    for name, weight in found[0].items():
        torch.testing.assert_close(found[1][name], weight, msg=name)
    tables = [w for n, w in found[0].items() if n.startswith("embedding.tables")]
    assert any((~table.any(1)).any() and table.any() for table in tables)


def test_the_schedule_is_not_theirs_and_interactions_have_their_own() -> None:
    chosen = recipe_of(
        "autoint",
        {"training.embedding_optimizer": "group_ftrl", "training.interaction_optimizer": "ftrl"},
    )
    ranker = chosen.build(toy_spec())
    optimizers = make_optimizers(ranker, chosen.training)
    set_rates(optimizers, chosen.training, 0.5)
    rates = {name: o.param_groups[0]["lr"] for name, o in optimizers.items()}
    training = chosen.training
    assert rates == {
        "dense": training.learning_rate / 2,
        "tables": training.embedding_learning_rate,
        "interactions": training.ftrl.learning_rate,
    }
    grouped = [id(p) for o in optimizers.values() for g in o.param_groups for p in g["params"]]
    assert sorted(grouped) == sorted(id(p) for p in ranker.parameters())
    assert all(name.startswith("attention.") for name in ranker.interaction_weights())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"training.embedding_optimizer": "group_ftrl", "training.ema": "0.9"}, "set ema=0"),
        ({"training.interaction_optimizer": "ftrl", "training.ema": "0.9"}, "set ema=0"),
        (
            {
                "training.embedding_optimizer": "group_ftrl",
                "training.embedding_weight_decay": "0.1",
            },
            "group_ftrl.l2",
        ),
    ],
)
def test_what_they_cannot_go_with_is_refused(fields: dict[str, str], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        recipe_of("autoint", fields)


def test_a_ranker_without_interaction_weights_is_refused() -> None:
    chosen = recipe_of("din", {"training.interaction_optimizer": "ftrl"})
    with pytest.raises(DefinitionError, match="din has no interaction weights"):
        make_optimizers(chosen.build(toy_spec()), chosen.training)


def test_a_warm_start_keeps_its_weights() -> None:
    chosen = recipe(training__warm_start="champion")
    steps = steps_of(chosen)
    before = steps.ranker.embedding.tables["item_id"].get_parameter("weight").detach().clone()
    batch = toy_batch(rows=2)
    steps.take(batch, 1, 1.0)
    after = steps.ranker.embedding.tables["item_id"].get_parameter("weight")
    assert (after != 0).any(1).sum() > len(batch.ids["item_id"])  # rows no batch touched are there
    assert (after == before).all(1).any()


# ---- zero rows are not stored -----------------------------------------------------------------


def test_a_version_holds_no_row_of_zeros(tmp_path: Path) -> None:
    (tmp_path / "transform").mkdir()
    toy_spec().write(tmp_path / "transform" / "spec.json")
    chosen = recipe_of("autoint", {"model.embedding.width": "16", "model.deep": "[4]"})
    sizes = {}
    for name in ("full", "sparse"):
        torch.manual_seed(0)
        ranker = chosen.build(toy_spec()).eval()
        if name == "sparse":
            with torch.no_grad():
                for table in ranker.table_weights().values():
                    table[3:] = 0
        write(
            tmp_path / name,
            ranker=ranker,
            recipe=chosen,
            transform=tmp_path / "transform",
            version=name,
            feature_service="ranker_v1",
            training_window={},
            metrics={},
        )
        sizes[name] = (tmp_path / name / "model.safetensors").stat().st_size
        loaded = load(tmp_path / name).ranker
        for key, value in ranker.state_dict().items():
            assert torch.equal(loaded.state_dict()[key], value)
        batch = toy_batch(rows=4)
        assert torch.equal(loaded(batch)["click"], ranker(batch)["click"])
    rows = sum(max(0, len(t) - 3) for t in ranker.table_weights().values())
    assert sizes["full"] - sizes["sparse"] > 0.8 * 64 * rows


def test_packing_is_undone_exactly_and_only_where_it_saves() -> None:
    table = torch.zeros(6, 4)
    table[[1, 4]] = torch.arange(8.0).view(2, 4) - 3
    weights = {"t": table, "full": torch.ones(3, 4), "w": torch.zeros(2, 2)}
    stored = zero_rows.packed(weights, ["t", "full"])
    assert set(stored) == {"t#rows", "t#values", "full", "w"}
    back = zero_rows.whole(stored, {name: w.shape for name, w in weights.items()})
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[name], w) for name, w in weights.items())


@pytest.mark.parametrize(
    ("rows", "values"), [([0, 9], (2, 4)), ([-1], (1, 4)), ([0], (1, 3)), ([0, 1], (1, 4))]
)
def test_rows_that_do_not_fit_are_refused(rows: list[int], values: tuple[int, int]) -> None:
    stored = {"t#rows": torch.tensor(rows, dtype=torch.int32), "t#values": torch.ones(values)}
    with pytest.raises(RuntimeError, match="rows of t do not fit"):
        zero_rows.whole(stored, {"t": torch.Size([6, 4])})


def test_docstring_examples_run() -> None:

    assert doctest.testmod(hemix.models.training.ftrl).failed == 0
    assert doctest.testmod(zero_rows).failed == 0
