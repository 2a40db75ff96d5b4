"""What holds for every ranker of the registry, in the default shape of its recipe."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

from hemix.models.data.batch import Batch, Jagged
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.layers import batch_rng
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, Ranker
from hemix.models.rankers.registry import RANKERS, build
from hemix.models.training.recipes import RECIPES, Recipe
from hemix.models.versions.version import load, write
from tests.models.rankers.reference_vectors import shaken

every = pytest.mark.parametrize("name", RANKERS)


def recipe_named(name: str) -> Recipe:
    return RECIPES["compact" if name == "hemix" else name]()


@cache
def make(name: str) -> Ranker:
    """The ranker in evaluation mode, no parameter left at 0 or 1."""
    torch.manual_seed(0)
    recipe = recipe_named(name)
    return shaken(build(recipe.ranker, toy_spec(), recipe.model), 0.05)


@cache
def rows() -> Batch:
    return toy_batch(rows=24, seed=5)


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    """Equal logits within 1e-5 of a probability's scale."""
    assert a.keys() == b.keys()
    for task, logit in a.items():
        torch.testing.assert_close(b[task], logit, rtol=1e-5, atol=1e-5)


def side(batch: Batch, sides: tuple[str, ...]) -> Batch:
    """The columns of ``sides`` alone, as a request brings them."""
    spec = toy_spec()
    fields = {f.name for f in spec.categorical if f.side in sides}
    fields |= {f.bucket for f in spec.numeric if f.side in sides}
    numbers = {f.name for f in spec.numeric if f.side in sides}
    return Batch(
        size=batch.size,
        ids={k: v for k, v in batch.ids.items() if k in fields},
        numbers={k: v for k, v in batch.numbers.items() if k in numbers},
        lists=batch.lists if "user" in sides else {},
        labels={},
    )


@every
@pytest.mark.parametrize("candidates", [1, 5])
@torch.no_grad()
def test_a_request_scored_once_equals_its_full_rows(name: str, candidates: int) -> None:
    model = make(name)
    for row in range(6):
        request = rows().take(torch.tensor([row]))
        items = side(toy_batch(rows=candidates, seed=row), ITEM_SIDES)
        repeated = request.take(torch.zeros(candidates, dtype=torch.int64))
        state = model.encode_request(side(request, REQUEST_SIDES))
        same(model(repeated.beside(items)), model.score_candidates(state, items))


@every
@torch.no_grad()
def test_longer_padding_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = make(name)
    # Only shorter sequences: those that can be padded within the contract's lengths.
    short = {"global": 4, "realtime": 2}
    lengths = torch.stack([rows().lists[k].lengths <= n for k, n in short.items()]).all(0)
    batch = rows().take(lengths.nonzero().squeeze(1))
    assert batch.size > 3
    plain = model(batch)
    most = {s.name: s.max_length for s in toy_spec().sequences}
    longer = {k: replace(v, longest=most[k]) for k, v in batch.lists.items()}
    same(plain, model(replace(batch, lists=longer)))


@every
@torch.no_grad()
def test_a_row_s_logits_do_not_depend_on_the_others(name: str) -> None:
    model, batch = make(name), rows()
    order = torch.randperm(batch.size, generator=torch.Generator().manual_seed(0))
    plain = model(batch)
    turned = {task: logit[order] for task, logit in plain.items()}
    same(turned, model(batch.take(order)))
    same({task: logit[3:4] for task, logit in plain.items()}, model(batch.take(torch.tensor([3]))))


@every
def test_gradients_reach_every_dense_parameter(name: str) -> None:
    # An ensemble leaves parts of itself out of a row, and more of them when it serves.
    recipe = recipe_named(name)
    everything = {"chosen": len(recipe.model.experts)} if name == "adaensemble" else {}
    shape = recipe.model.model_copy(update=everything)
    model = shaken(build(recipe.ranker, toy_spec(), shape), 0.05).train()
    sum(logit.square().sum() for logit in model(toy_batch(rows=64)).values()).backward()
    names = {id(p): n for n, p in model.named_parameters()}
    idle = [
        names[id(p)]
        for p in model.dense_parameters()
        if p.numel() and (p.grad is None or not p.grad.any())
    ]
    assert idle == []


@every
def test_empty_sequences_give_finite_logits_and_gradients(name: str) -> None:
    model, batch = make(name), rows()
    model.zero_grad()
    nothing = {
        k: Jagged(values=v.values[:, :0], offsets=torch.zeros(batch.size + 1, dtype=torch.int64))
        for k, v in batch.lists.items()
    }
    logits = model(replace(batch, lists=nothing))
    assert all(logit.isfinite().all() for logit in logits.values())
    sum(logit.sum() for logit in logits.values()).backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    half = {k: v.take(torch.arange(1)) for k, v in rows().lists.items()}
    one = replace(rows().take(torch.arange(1)), lists={**half, "realtime": nothing_of(half)})
    assert all(logit.isfinite().all() for logit in model(one).values())


def nothing_of(lists: dict[str, Jagged]) -> Jagged:
    """One empty real-time sequence."""
    values = lists["realtime"].values[:, :0]
    return Jagged(values=values, offsets=torch.zeros(2, dtype=torch.int64))


@every
@torch.no_grad()
def test_exported_weights_give_the_same_scores(name: str, tmp_path: Path) -> None:
    transform = tmp_path / "transform"
    transform.mkdir()
    toy_spec().write(transform / "spec.json")
    model = make(name)
    write(
        tmp_path / "v1",
        ranker=model,
        recipe=recipe_named(name),
        transform=transform,
        version="v1",
        feature_service="ranker_v1",
        training_window={},
        metrics={},
    )
    loaded = load(tmp_path / "v1").ranker
    assert type(loaded) is RANKERS[name]
    same(model(rows()), loaded(rows()))


@every
def test_flops_are_counted_and_the_request_has_its_share(name: str) -> None:
    flops = make(name).flops_per_sample()
    assert set(flops) == {"request", "candidate"}
    assert flops["candidate"] > 0
    assert flops["request"] >= 0


@every
@pytest.mark.filterwarnings("ignore:Mismatch dtype")  # RMSNorm of bfloat16 by float32: unfused
def test_bfloat16_gives_finite_logits_and_gradients(name: str) -> None:
    model = make(name)
    model.zero_grad()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(rows())
    sum(logit.float().sum() for logit in logits.values()).backward()
    assert all(logit.isfinite().all() for logit in logits.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@every
@torch.no_grad()
def test_dropout_is_the_same_in_parts_of_a_batch(name: str) -> None:
    torch.manual_seed(0)
    recipe, batch = recipe_named(name), rows()
    embedding = recipe.model.embedding.model_copy(
        update={"dropout": 0.2, "id_dropout": 0.3, "large": 5}
    )
    shape = recipe.model.model_copy(update={"embedding": embedding, "dropout": 0.2})
    model = shaken(build(recipe.ranker, toy_spec(), shape), 0.05).train()
    torch.manual_seed(1)
    whole = model(batch)
    torch.manual_seed(2)
    assert any(not torch.allclose(whole[task], logit) for task, logit in model(batch).items())
    for mine in (slice(0, 10), slice(10, 24)):
        torch.manual_seed(1)
        with batch_rng.batch_rows(local=mine, global_size=batch.size):
            part = model(batch.part(torch.arange(batch.size), mine))
        same({task: logit[mine] for task, logit in whole.items()}, part)
