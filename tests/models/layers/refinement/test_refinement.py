"""Feature refinement: each module against loops, and inside every ranker that has field vectors."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
from typing import Any

import pytest
import torch
from torch import nn

from hemix.errors import DefinitionError
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.layers import batch_rng, refinement
from hemix.models.layers.refinement.base import RefinementConfig, RefinementMLP
from hemix.models.layers.refinement.named import NAMES, SHARED, RefinementName
from hemix.models.layers.refinement.named import refinement as made
from hemix.models.layers.refinement.squeeze import SENET
from hemix.models.pictures import pictures_of
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, Ranker
from hemix.models.rankers.factorization.fibinet import SqueezeExcitation
from hemix.models.rankers.registry import RANKERS
from hemix.models.rankers.vector import VectorRanker
from hemix.models.training.recipes import Recipe, recipe_of
from tests.models.layers.refinement.reference_refinement import refined
from tests.models.rankers.reference_vectors import shaken
from tests.models.rankers.test_every_ranker import same, side

every = pytest.mark.parametrize("name", NAMES)
WITH_FIELDS = [n for n, kind in RANKERS.items() if issubclass(kind, VectorRanker)] + ["hemix"]


def module(name: RefinementName, fields: int = 5, width: int = 4, **options: Any) -> Any:
    config = RefinementConfig(**{"hidden": (6,), **options})
    return made(name, fields, width, config, user=[0, 1], item=[3])


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, {}) for name in NAMES]
    + [
        ("fen", {"softmax": "released", "norm": "none"}),
        ("senet", {"squeeze": "max", "reduction": 3}),
        ("dfen", {"attention_scale": "released", "heads": 2, "head_width": 3, "hidden": (6, 5)}),
        ("selfatt", {"heads": 3, "head_width": 2}),
        ("tce", {"shared_aggregation": True, "projection": 3}),
        ("pffn", {"blocks": 1, "shared_aggregation": True}),
        ("frnet_b", {"context": "relu", "head_width": 3, "init": "released"}),
        ("gfrl", {"init": "released", "norm": "none"}),
    ],
    ids=str,
)
def test_equals_the_loop_written_reference(name: RefinementName, options: dict[str, Any]) -> None:
    ours = shaken(module(name, **options), 0.3).double()
    e_BFd = torch.randn(3, 5, 4, dtype=torch.float64)
    torch.testing.assert_close(ours(e_BFd), refined(name, ours, e_BFd), rtol=1e-10, atol=1e-12)
    assert ours.weights(e_BFd).shape[0] == 3
    assert ours.flops() > 0


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("vgate", 160),
        ("senet", 115),
        ("drm", 330),
        ("bgate", 2_560),
        ("fwn", 2_720),
        ("selfatt", 8_576),
        ("frnet_v", 48_036),
        ("frnet_b", 48_036),
        ("tce", 56_320),
        ("pffn", 58_912),
        ("gfrl", 97_120),
        ("fen", 176_926),
        ("dfen", 187_648),
    ],
)
def test_ten_fields_of_sixteen_have_the_benchmark_s_parameters(
    name: RefinementName, count: int
) -> None:
    options = RefinementConfig(softmax="released")
    assert sum(p.numel() for p in made(name, 10, 16, options).parameters()) == count


@pytest.mark.parametrize(
    ("name", "parameter", "bound"),
    [
        ("fwn", "weight", 0.120),
        ("fwn", "bias", 0.185),
        ("vgate", "weight", 0.48),
        ("tce", "aggregate", 0.033),
        ("tce", "project", 0.094),
        ("bgate", "weight", 0.120),
    ],
)
def test_the_released_initialisation_counts_the_stack(
    name: RefinementName, parameter: str, bound: float
) -> None:
    torch.manual_seed(0)
    weight = made(name, 10, 16, RefinementConfig(init="released")).get_parameter(parameter)
    largest = weight.abs().max().item()
    assert 0.9 * bound < largest < 1.01 * bound + 0.001


def test_each_field_s_matrix_begins_as_one_of_its_own() -> None:
    torch.manual_seed(0)
    plain = made("fwn", 10, 16, RefinementConfig())
    assert 0.4 < plain.get_parameter("weight").abs().max().item() < (6 / 32) ** 0.5
    assert plain.get_parameter("bias").eq(1).all()  # every number passes at first
    released = made("fwn", 10, 16, RefinementConfig(init="released"))
    assert 0 < released.get_parameter("bias").abs().max().item() < 0.2


def test_a_batch_norm_folds_into_the_layer_before_it() -> None:
    torch.manual_seed(0)
    folded = RefinementMLP(7, (5, 3), RefinementConfig(norm="none")).double().eval()
    trained = RefinementMLP(7, (5, 3), RefinementConfig(norm="none")).double().eval()
    trained.norms = nn.ModuleList(nn.BatchNorm1d(width).double().eval() for width in (5, 3))
    for layer, into, norm in zip(trained.linears, folded.linears, trained.norms, strict=True):
        for value in (norm.weight, norm.bias, norm.running_mean):
            nn.init.normal_(value)
        nn.init.uniform_(norm.running_var, 0.5, 2.0)
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        into.weight.data = scale[:, None] * layer.weight.data
        into.bias.data = (layer.bias.data - norm.running_mean) * scale + norm.bias
    x = torch.randn(4, 7, dtype=torch.float64)
    torch.testing.assert_close(folded(x), trained(x))


# ---- inside rankers ---------------------------------------------------------------------------


def recipe(ranker: str, **model: str) -> Recipe:
    name = "compact" if ranker == "hemix" else ranker
    if ranker == "adaensemble":
        model = {"chosen": "5", **model}  # else an expert that no row chooses learns nothing
    return recipe_of(name, {f"model.{k.replace('__', '.')}": v for k, v in model.items()})


def ranker(name: str, **model: str) -> Ranker:
    torch.manual_seed(0)
    chosen = recipe(name, refinement__hidden="[6]", **model)
    return shaken(chosen.build(toy_spec()), 0.1)


def held(model: Ranker) -> None:
    """A request scored once equals its full rows, and every dense weight learns."""
    request = toy_batch(rows=24, seed=5).take(torch.tensor([3]))
    items = side(toy_batch(rows=4, seed=1), ITEM_SIDES)
    repeated = request.take(torch.zeros(4, dtype=torch.int64))
    with torch.no_grad():
        state = model.encode_request(side(request, REQUEST_SIDES))
        same(model(repeated.beside(items)), model.score_candidates(state, items))
    logits = model.train()(toy_batch(rows=64))
    sum(logit.square().sum() for logit in logits.values()).backward()
    names = {id(p): n for n, p in model.named_parameters()}
    idle = [names[id(p)] for p in model.dense_parameters() if p.numel() and not p.grad.any()]
    assert idle == []


@every
def test_any_refinement_stands_in_a_ranker(name: str) -> None:
    held(ranker("dlrm", refine=name))


@pytest.mark.parametrize("name", WITH_FIELDS)
def test_any_ranker_of_field_vectors_takes_a_refinement(name: str) -> None:
    plain, model = ranker(name), ranker(name, refine="frnet_v")
    flops, before = model.flops_per_sample(), plain.flops_per_sample()
    held(model)  # an ensemble counts what training routes
    assert flops["candidate"] - before["candidate"] >= model.refinements.flops()  # type: ignore[union-attr]
    assert sum(flops.values()) - sum(before.values()) == model.refinements.flops()  # type: ignore[union-attr]


def test_without_one_a_ranker_is_what_it_was() -> None:
    names = dict(ranker("autoint").named_parameters())
    assert not any("refine" in name for name in names)


def test_branches_may_have_refinements_of_their_own() -> None:
    shared = ranker("autoint", refine="gfrl")
    own = ranker("autoint", refine="gfrl", refine_separate="true")
    assert set(shared.refinements) == {SHARED}  # type: ignore[arg-type]
    assert set(own.refinements) == {"cross", "deep"}  # type: ignore[arg-type]
    held(own)
    mixed = ranker("autoint", refine="{cross: vgate}")
    assert set(mixed.refinements) == {"cross"}  # type: ignore[arg-type]
    held(mixed)


@torch.no_grad()
def test_each_branch_reads_its_own_refinement() -> None:
    model = ranker("autoint", refine="bgate", refine_separate="true", deep="[5]")
    assert isinstance(model, VectorRanker)
    x_BVE = torch.randn(2, sum(model.groups), model.embedding.config.width)
    read = model.inputs(x_BVE)
    for branch, vectors in read.items():
        torch.testing.assert_close(vectors, model.refinements[branch](x_BVE))
    assert not torch.equal(read["cross"], read["deep"])


@pytest.mark.parametrize(
    ("name", "model", "said"),
    [
        ("dlrm", {"refine_separate": "true", "refine": "tce"}, "has one branch"),
        ("dlrm", {"refine": "{deep: tce}"}, "no branch 'deep'"),
        ("dlrm", {"refine": "frnet"}, "model.refine"),
        ("autoint", {"refine_separate": "true", "deep": "[]"}, "there is one branch"),
    ],
)
def test_what_cannot_be_is_refused(name: str, model: dict[str, str], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        recipe(name, **model).build(toy_spec())


def test_fal_asks_whose_the_fields_are() -> None:
    with pytest.raises(DefinitionError, match="fields of the item"):
        made("fal", 3, 4, RefinementConfig(), user=[0])


@torch.no_grad()
def test_dropout_is_the_same_in_parts_of_a_batch() -> None:
    model, batch = ranker("dlrm", refine="gfrl").train(), toy_batch(rows=24, seed=5)
    torch.manual_seed(1)
    whole = model(batch)
    torch.manual_seed(1)
    with batch_rng.batch_rows(local=slice(10, 24), global_size=24):
        part = model(batch.part(torch.arange(24), slice(10, 24)))
    same({task: logit[10:] for task, logit in whole.items()}, part)


@every
def test_its_weights_can_be_looked_at(name: str) -> None:
    model = ranker("dlrm", refine=name)
    found = pictures_of(model, model.vector_names, toy_batch(rows=3))
    (picture,) = [one for one in found if one.title.startswith("Refinement")]
    if name != "drm":
        assert picture.values.shape == (3, len(model.vector_names))


def test_docstring_examples_run() -> None:
    for found in pkgutil.iter_modules(refinement.__path__):
        module = importlib.import_module(f"{refinement.__name__}.{found.name}")
        assert doctest.testmod(module).failed == 0


def test_squeezes_let_every_field_through_at_first() -> None:
    """Of small first vectors; a weight of 0 has no gradient, and its field would be lost for good."""
    vectors = 0.1 * torch.randn(64, 10, 16)
    for seed in range(5):
        torch.manual_seed(seed)
        assert (SENET(10, 16, RefinementConfig()).weights(vectors) > 0).all()
        excited = SqueezeExcitation(10, 3)(vectors) / vectors
        assert (excited > 0).all()
