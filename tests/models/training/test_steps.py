"""Steps: the gradient of a batch in parts is that of the batch; processes meet once; the compiler."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from hemix.errors import DefinitionError
from hemix.models.data.batch import Batch
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.rankers.base import Ranker
from hemix.models.training.distributed import World
from hemix.models.training.objectives.objective import Told
from hemix.models.training.recipes import Recipe, recipe_of
from hemix.models.training.train_step import Steps, compiled
from tests.models.training.train_toy import toy_recipe

CPU = torch.device("cpu")


def steps_of(recipe: Recipe, *, wide: bool = False, backend: str = "inductor") -> Steps:
    torch.manual_seed(0)
    ranker = recipe.build(toy_spec()).train()
    ranker = ranker.double() if wide else ranker
    with torch.no_grad():  # away from the small weights at the beginning
        for parameter in ranker.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return Steps(ranker, recipe.training, World(device=CPU), backend=backend)


def gradient(steps: Steps, batch: Batch) -> tuple[float, dict[str, Tensor]]:
    """Loss and gradient, before clipping."""
    for optimizer in steps.optimizers.values():
        optimizer.zero_grad(set_to_none=True)
    loss = steps._backward(batch).item()
    named = steps.ranker.named_parameters()
    return loss, {name: p.grad.to_dense() for name, p in named if p.grad is not None}


@pytest.mark.parametrize("rows", [1, 3, 6, 10, 16])
@pytest.mark.parametrize("given_loss", ["masked", "esmm"])
def test_any_number_of_rows_in_parts_has_the_gradient_of_the_batch(
    rows: int, given_loss: str
) -> None:
    """Fewer rows than parts and parts of unequal size, in float64, dropout included."""
    # A layer's dropout draws in the order of its input's memory, which one row does not have.
    dropout = "0.1" if rows >= 8 else "0"
    small = toy_batch(rows=rows, seed=2)
    # Rows whose task counts are not spread evenly: none of them in the last part.
    click = (torch.arange(rows) < (rows + 1) // 2).double()
    labels = {"click": click, "long_view": small.labels["long_view"].double()}
    batch = replace(small, labels=labels)
    found = []
    for parts in (1, 4):
        recipe = toy_recipe(
            training__accumulate=str(parts),
            training__given="{long_view: click}",
            training__given_loss=given_loss,
            training__task_weights="{long_view: 2.0}",
            model__embedding__dropout="0.2",
            model__dropout=dropout,
        )
        found.append((*gradient(steps_of(recipe, wide=True), batch), torch.get_rng_state()))
    (loss, whole, after), (parted_loss, parted, also) = found
    assert parted_loss == pytest.approx(loss, rel=1e-12)
    assert torch.equal(after, also)
    assert parted.keys() == whole.keys()
    for name, expected in whole.items():
        assert expected.dtype == torch.float64
        torch.testing.assert_close(parted[name], expected, rtol=1e-9, atol=1e-12, msg=name)


@pytest.fixture
def process_group() -> Iterator[None]:
    """A group of this process alone."""
    store = dist.HashStore()  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.slow
@pytest.mark.usefixtures("process_group")
@pytest.mark.parametrize("compiler", ["none", "inductor"])
def test_gradients_are_averaged_with_the_last_part_only(
    compiler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[nn.parallel.DistributedDataParallel] = []

    def wrap(self: World, ranker: Ranker) -> nn.Module:
        made.append(nn.parallel.DistributedDataParallel(ranker, gradient_as_bucket_view=True))
        return made[0]

    monkeypatch.setattr(World, "wrap", wrap)
    recipe = toy_recipe(training__accumulate="4", training__compile=compiler)
    steps = steps_of(recipe, backend="eager")
    averaged: list[int] = []
    made[0].register_comm_hook(None, lambda _, bucket: _told(averaged, bucket))
    synced = []
    plain = Steps._part

    def part(self: Steps, batch: Batch, parts: int, whole: int) -> tuple[Tensor, Told]:
        before = len(averaged)
        found = plain(self, batch, parts, whole)
        synced.append(len(averaged) > before)
        return found

    monkeypatch.setattr(Steps, "_part", part)
    # Whether the compiler's module runs compiled is nothing to who averages; tracing takes long.
    with torch.compiler.set_stance("force_eager"):
        steps.take(toy_batch(rows=16), 1, 1.0)
    assert synced == [False, False, False, True]


def _told(averaged: list[int], bucket: Any) -> torch.futures.Future[Tensor]:
    averaged.append(bucket.index())
    done: torch.futures.Future[Tensor] = torch.futures.Future()
    done.set_result(bucket.buffer())
    return done


@pytest.mark.slow
def test_the_compiled_step_is_the_plain_one() -> None:
    """HeMix through the compiler's front and its own backward pass, without generated code."""
    plain = {"model__embedding__id_dropout": "0", "model__dropout": "0"}
    eager = steps_of(toy_recipe(**plain))
    through = steps_of(toy_recipe(**plain, training__compile="inductor"), backend="aot_eager")
    assert through.forward is not through.ranker
    for rows in (16, 5):
        batch = toy_batch(rows=rows, seed=rows)
        (loss, expected), (found, gradients) = gradient(eager, batch), gradient(through, batch)
        assert found == pytest.approx(loss, abs=1e-6)
        assert gradients.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(gradients[name], value, rtol=1e-5, atol=1e-6, msg=name)


def test_cuda_graphs_are_not_recorded_for_every_number_of_events() -> None:
    config = recipe_of("compact", {"training.compile": "cuda_graphs"}).training
    module = compiled(nn.Linear(1, 1), config, torch.device("cuda"))
    # Torch refuses options that it does not have, so these are its own.
    kept = torch._inductor.config.triton.cudagraph_skip_dynamic_graphs
    compiler = module.get_compiler_config()  # type: ignore[operator]
    assert compiler["triton.cudagraphs"] is True
    assert compiler["triton.cudagraph_skip_dynamic_graphs"] is True
    assert torch._inductor.config.triton.cudagraph_skip_dynamic_graphs is kept is False


def test_cuda_graphs_do_not_go_with_parts() -> None:
    with pytest.raises(DefinitionError, match=r"set accumulate=1"):
        recipe_of("compact", {"training.compile": "cuda_graphs", "training.accumulate": "2"})
