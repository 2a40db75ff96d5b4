"""AdaEnsemble: what is computed, what learns, what is measured, and what the losses are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.layers.routing.experts import Expert
from hemix.models.layers.routing.mixture import SparseMixture
from hemix.models.layers.routing.router import (
    CosineRouter,
    balance_loss,
    counted,
    top_gates,
    z_loss,
)
from hemix.models.layers.task_outputs import TaskOutputs
from hemix.models.rankers.ensemble.adaensemble import AdaEnsemble
from hemix.models.rankers.ensemble.config import AdaEnsembleConfig
from tests.models.rankers.reference_vectors import shaken


def make(**fields: Any) -> AdaEnsemble:
    torch.manual_seed(0)  # rows leave at several levels
    config = AdaEnsembleConfig(embedding=EmbeddingConfig(width=4), **{"attention": (5,), **fields})
    return shaken(AdaEnsemble(toy_spec(), config)).double()


def logit_loss(model: AdaEnsemble, batch: Batch) -> Tensor:
    return torch.stack([logit.square().sum() for logit in model(batch).values()]).sum()


def rows_computed(model: AdaEnsemble, batch: Batch) -> list[list[int]]:
    """Rows that each layer's experts are given in one forward pass."""
    found: list[list[int]] = [[] for _ in model.mixtures]
    hooks = [
        expert.register_forward_hook(
            lambda _, given, out, level=level: found[level].append(len(given[0]))
        )
        for level, mixture in enumerate(model.mixtures)
        for expert in mixture.experts.values()  # type: ignore[operator, union-attr]
    ]
    model(batch)
    for hook in hooks:
        hook.remove()
    return found


@torch.no_grad()
def test_rows_that_left_are_not_computed() -> None:
    model, batch = make(), toy_batch(rows=60)
    experts, exits = model.measured(batch)
    assert (exits > 0).sum() >= 2
    reach = 60.0
    for level, computed in enumerate(rows_computed(model, batch)):
        assert sum(computed) == round(3 * reach)  # each at three of the five experts
        assert computed == [round(reach * share) for share in experts[level].tolist()]
        reach -= 60 * float(exits[level])
    assert round(reach) == 0


@torch.no_grad()
def test_measured_flops_are_those_of_the_rows_computed() -> None:
    model, batch = make(interest="mean"), toy_batch(rows=60)
    width, total = 48, 60.0 * model.exits.flops()
    got = model.flops_per_sample(*model.measured(batch))["candidate"]
    reach, course = 60, rows_computed(model, batch)
    exits = model.measured(batch)[1]
    for level, (mixture, computed) in enumerate(zip(model.mixtures, course, strict=True)):
        assert isinstance(mixture, SparseMixture)
        each = zip(computed, mixture.expert_flops(), strict=True)
        total += sum(rows * (flops + 2 * width) for rows, flops in each)
        total += reach * (mixture.router.flops() + width)
        out = round(60 * float(exits[level]))
        total, reach = total + out * 2 * 2 * width, reach - out
    assert got == round(total / 60)
    wished = make(interest="mean").flops_per_sample()["candidate"]
    assert wished != got


def test_an_expert_s_flops_equal_a_hand_count() -> None:
    (mixture, *_), d, v = make().mixtures, 48, 12
    assert isinstance(mixture, SparseMixture)
    gate = 2 * d * 3 + 2 * 3 * d
    line = 2 * d * 6 + 3 * 16 * 2 * 4 + 2 * 16 * d  # 6 numbers, 3 places, 1 after pooling
    attention = 3 * 2 * d * 8 + 4 * v * v * 8 + 2 * v * 64 + 2 * v * 8 * d
    dense = 2 * d * d
    assert mixture.expert_flops() == [dense + gate + d, dense + d, dense + d, line, attention]
    assert mixture.router.flops() == 2 * (d * 3 + 3 * 16 + 16 * 5)


# ---- what teaches the routers ----------------------------------------------------------------------


@pytest.mark.parametrize("chosen", [1, 3])
def test_the_tasks_teach_the_routers_of_experts(chosen: int) -> None:
    model, batch = make(chosen=chosen, layers=1, exit_shares=()), toy_batch(rows=30)
    logit_loss(model, batch).backward()
    (mixture,) = model.mixtures
    assert isinstance(mixture, SparseMixture)
    assert all(p.grad is not None and p.grad.any() for p in mixture.router.parameters())


def test_with_the_released_sum_they_do_not() -> None:
    model, batch = make(combine="sum", layers=1, exit_shares=()), toy_batch(rows=30)
    logit_loss(model, batch).backward()
    (mixture,) = model.mixtures
    assert isinstance(mixture, SparseMixture)
    assert all(p.grad is None or not p.grad.any() for p in mixture.router.parameters())


def test_the_tasks_teach_the_router_of_exits_while_several_are_open() -> None:
    model, batch = make(balance=0.0, z=0.0).train(), toy_batch(rows=30)
    for share, exits in ((0.001, 4), (0.2, 3), (0.3, 2), (0.4, 1), (0.5, 1), (1.0, 1)):
        model.set_progress(share)
        assert model.open_exits == exits
        model.zero_grad()
        logit_loss(model, batch).backward()
        learns = [p.grad is not None and bool(p.grad.any()) for p in model.exits.parameters()]
        assert learns == [exits > 1] * len(learns)


@torch.no_grad()
def test_scoring_has_no_noise_and_training_ends_at_what_is_served() -> None:
    model, batch = make(noise=0.0), toy_batch(rows=30)
    served = model(batch)
    model.train().set_progress(1.0)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, served[task])
    noisy = make(noise=0.5)
    torch.testing.assert_close(noisy(batch)["click"], noisy(batch)["click"])
    noisy.train().set_progress(1.0)
    assert not torch.equal(noisy(batch)["click"], noisy(batch)["click"])


# ---- losses -----------------------------------------------------------------------------------


def test_balance_and_z_losses_equal_loops() -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, 4, dtype=torch.float64)
    routing, prior = top_gates(logits, 2), (0.1, 0.2, 0.6, 0.1)
    balance = z = 0.0
    for row in logits.tolist():
        powers = torch.tensor(row).exp().sum().log()
        z += float(powers) ** 2 / 7
    for e in range(4):
        sent = sum(bool(routing.chosen[b, e]) for b in range(7)) / 7
        mean = sum(float(logits[b].softmax(0)[e]) for b in range(7)) / 7
        balance += sent * mean / prior[e]
    counts = counted(routing)
    assert balance_loss(routing, counts, prior).item() == pytest.approx(balance)
    assert z_loss(routing, counts).item() == pytest.approx(z, rel=1e-5)
    assert balance_loss(routing, counts).item() == pytest.approx(
        sum(4 * float(counts.share[e]) * float(logits.softmax(1)[:, e].mean()) for e in range(4))
    )


def test_the_auxiliary_loss_is_that_of_the_last_pass_and_weighs_exits_by_their_gates() -> None:
    model, batch = make(balance=0.0, z=0.0), toy_batch(rows=9)
    model(batch)
    assert model.auxiliary_loss(batch) is None  # nothing in evaluation mode
    model.outputs = TaskOutputs(("click", "long_view"), {"long_view": "click"}, "none")
    torch.manual_seed(0)
    model.train()(batch)
    torch.manual_seed(0)
    course = model.follow(model.row_vectors(model.encode_request(batch).vectors, batch).flatten(1))
    total = 0.0
    for left in course.left:
        for task, logits in left.logits.items():
            for row, gate, logit in zip(left.rows, left.gate, logits, strict=True):
                label = float(batch.labels[task][row])
                probability = float((logit if label else -logit).detach().sigmoid())
                seen = 1.0 if task == "click" else float(batch.labels["click"][row])
                total -= float(gate.detach()) * seen * float(torch.tensor(probability).log()) / 9
    got = model.auxiliary_loss(batch)
    assert got is not None
    assert got.item() == pytest.approx(total, rel=1e-5)
    assert model.auxiliary_loss(batch) is None


def test_shares_move_to_what_training_routes() -> None:
    model, batch = make(), toy_batch(rows=30)
    model.train().set_progress(1.0)
    before = model.exit_share.clone(), model.expert_share.clone()
    model(batch)
    model.auxiliary_loss(batch)
    assert model.exit_share.sum().item() == pytest.approx(1)
    assert not torch.equal(model.exit_share, before[0])
    assert not torch.equal(model.expert_share, before[1])


# ---- parts ------------------------------------------------------------------------------------


def test_an_expert_without_rows_still_gives_gradients_of_zero() -> None:
    for expert in make().mixtures[0].experts.values():  # type: ignore[operator, union-attr]
        assert isinstance(expert, Expert)
        nothing = torch.zeros(0, 48, dtype=torch.float64)
        expert(nothing, nothing).sum().backward()
        assert all(p.grad is not None and not p.grad.any() for p in expert.parameters())


@pytest.mark.parametrize("k", [1, 2, 4])
def test_gates_are_a_softmax_over_the_chosen_or_over_all(k: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(6, 4)
    for over in ("chosen", "all"):
        routing = top_gates(logits, k, over)  # type: ignore[arg-type]
        for row, gates in zip(logits.tolist(), routing.gates, strict=True):
            best = sorted(range(4), key=lambda e, row=row: -row[e])[:k]
            powers = {e: torch.tensor(row[e]).exp() for e in range(4)}
            whole = sum(powers[e] for e in (best if over == "chosen" else range(4)))
            want = [float(powers[e] / whole) if e in best else 0.0 for e in range(4)]
            assert gates.tolist() == pytest.approx(want)


def test_noise_scales_each_number_in_training() -> None:
    torch.manual_seed(0)
    router, x = CosineRouter(8, 3, noise=0.5), torch.ones(500, 8)
    assert torch.equal(router.eval()(x), router(x))
    seen: list[Tensor] = []
    router.hidden.register_forward_hook(lambda _, given, out: seen.append(given[0]))
    router.train()(x)
    assert seen[0].min() >= 0.5
    assert seen[0].max() <= 1.5
    assert seen[0].std().item() == pytest.approx(12**-0.5, abs=0.02)


def test_few_vectors_still_fit_a_filter() -> None:
    spec = toy_spec().model_copy(update={"sequences": ()})
    model = AdaEnsemble(spec, AdaEnsembleConfig(embedding=EmbeddingConfig(width=4)))
    assert model(toy_batch(rows=5, spec=spec))["click"].shape == (5,)
