"""CL4CTR: pairs counted one by one, the same loss in parts, and nothing of it in a model version."""

from __future__ import annotations

import doctest
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.training.objectives import cl4ctr
from hemix.models.training.recipes import recipe_of
from hemix.models.training.train_step import Steps
from hemix.models.versions.version import WEIGHTS, load, write
from tests.models.training.test_steps import gradient, steps_of
from tests.models.training.train_toy import toy_recipe

Rows = list[list[list[float]]]


def distance(a: list[float], b: list[float]) -> float:
    return sum((x - y) ** 2 for x, y in zip(a, b, strict=True))


def cosine(a: list[float], b: list[float], slack: float = 0.0) -> float:
    product = sum(x * y for x, y in zip(a, b, strict=True))
    return product / (math.hypot(*a) * math.hypot(*b) + slack)


def vectors() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(5, 3, 4, dtype=torch.float64)


def test_alignment_is_the_mean_over_pairs_in_any_number_of_parts() -> None:
    e_BFd = vectors().requires_grad_()
    rows: Rows = e_BFd.tolist()
    pairs = [(i, j) for i in range(5) for j in range(i)]
    each = [distance(rows[i][f], rows[j][f]) for i, j in pairs for f in range(3)]
    mean = e_BFd.mean(0).detach()
    whole = cl4ctr.alignment(e_BFd, mean, 5)
    assert whole.item() == pytest.approx(sum(each) / len(each))
    parts = [cl4ctr.alignment(part, mean, 5) * len(part) / 5 for part in e_BFd.split([2, 3])]
    assert sum(part.item() for part in parts) == pytest.approx(whole.item())
    ((e_BFd[:, None] - e_BFd[None]).square().sum(3).mean(2).sum() / 20).backward()
    brute = e_BFd.grad
    assert brute is not None
    (own,) = torch.autograd.grad(torch.stack(parts).sum(), e_BFd)
    torch.testing.assert_close(own, brute)


@pytest.mark.parametrize("slack", [0.0, 0.1])
def test_uniformity_is_the_mean_cosine(slack: float) -> None:
    rows: Rows = vectors().tolist()
    each = [cosine(row[f], row[g], slack) for row in rows for f in range(3) for g in range(3)]
    assert cl4ctr.uniformity(vectors(), slack).item() == pytest.approx(sum(each) / len(each))


def test_the_closed_forms_over_tables_are_the_sums_over_pairs() -> None:
    tables = list(vectors().flatten(0, 1).split([2, 5, 8]))
    plain = [table.tolist() for table in tables]
    near = [distance(a, b) for table in plain for a in table for b in table]
    assert cl4ctr.table_alignment(tables).item() == pytest.approx(sum(near) / len(near))
    far = [
        cosine(a, b)
        for f, table in enumerate(plain)
        for g, other in enumerate(plain)
        if f != g
        for a in table
        for b in other
    ]
    assert cl4ctr.table_uniformity(tables).item() == pytest.approx(sum(far) / len(far))


@pytest.mark.parametrize(
    ("kind", "alike"), [("random", ()), ("feature", (2,)), ("dimension", (1,))]
)
def test_masks_hide_numbers_fields_or_dimensions(kind: Any, alike: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    e_BFd = torch.ones(400, 6, 8)
    masked = e_BFd * cl4ctr.mask(kind, e_BFd, 0.25)
    for axis in (0, 1, 2):
        first = masked.select(axis, 0).unsqueeze(axis)
        assert bool((masked == first).all()) == (axis in alike)
    assert masked.unique().tolist() == pytest.approx([0, 1 / 0.75])
    assert masked.mean().item() == pytest.approx(1, abs=0.05)


def steps(parts: str = "1", **fields: str) -> Steps:
    own = {f"training__objective__cl4ctr__{name}": value for name, value in fields.items()}
    recipe = toy_recipe(training__batch_size="24", training__accumulate=parts, **own)
    return steps_of(recipe)


def taken(made: Steps) -> dict[str, Tensor]:
    torch.manual_seed(3)
    for number in (1, 2):
        made.take(toy_batch(rows=24, seed=number), number, 1.0)
    named = made.ranker.named_parameters()
    return {n: p.detach() for n, p in named if not n.startswith("objective")}


def test_weights_of_0_give_the_same_bits_as_without() -> None:
    plain = taken(steps())
    for fields in ({"weight": "0"}, {"weight": "1", "alpha": "0", "beta": "0"}):
        own = taken(steps(**fields))
        assert plain.keys() == own.keys()
        assert all(torch.equal(own[name], weight) for name, weight in plain.items())


@pytest.mark.parametrize("fields", [{}, {"alpha": "0", "beta": "1"}, {"mask": "feature"}], ids=str)
def test_parts_give_the_loss_and_gradient_of_the_whole(fields: dict[str, str]) -> None:
    found = []
    for parts in ("1", "3"):
        torch.manual_seed(0)
        made = steps(parts, weight="1", **fields)
        torch.manual_seed(7)
        found.append(gradient(made, toy_batch(rows=24, seed=2)))
        assert made.told["cl4ctr"] > 0
    (whole, slopes), (parted, others) = found
    assert parted == pytest.approx(whole, rel=1e-5)
    assert slopes.keys() == others.keys()
    for name, slope in slopes.items():
        torch.testing.assert_close(others[name], slope, rtol=1e-3, atol=1e-5, msg=name)
    encoder = [n for n in slopes if n.startswith("objective.auxiliary.cl4ctr.views")]
    assert bool(encoder) == ("alpha" not in fields)
    assert all(slopes[name].any() for name in encoder if "qkv.bias" not in name)


def test_the_term_moves_the_tables_and_itself() -> None:
    plain, loud = (gradient(steps(weight=w), toy_batch(rows=24))[1] for w in ("0", "1000"))
    name = "embedding.tables.item_id.weight"
    assert not torch.allclose(plain[name], loud[name])
    made, told = steps(weight="1", beta="0"), []
    for number in range(1, 9):
        made.take(toy_batch(rows=24, seed=1), number, 1.0)
        told.append(made.told["cl4ctr"].item())
    assert told[-1] < told[0]


def test_no_version_holds_the_encoder(tmp_path: Path) -> None:
    (tmp_path / "transform").mkdir()
    toy_spec().write(tmp_path / "transform" / "spec.json")
    recipe = recipe_of("dlrm", {"training.objective.cl4ctr.weight": "1"})
    ranker = recipe.build(toy_spec()).eval()
    assert any("cl4ctr" in name for name in ranker.state_dict())
    write(
        tmp_path / "v1",
        ranker=ranker,
        recipe=recipe,
        transform=tmp_path / "transform",
        version="v1",
        feature_service="ranker_v1",
        training_window={},
        metrics={},
    )
    assert b"cl4ctr" not in (tmp_path / "v1" / WEIGHTS).read_bytes()
    loaded = load(tmp_path / "v1").ranker
    assert not any("cl4ctr" in name for name in loaded.state_dict())
    batch = toy_batch(rows=3)
    assert torch.equal(loaded(batch)["click"], ranker(batch)["click"])


def test_docstring_examples_run() -> None:
    assert doctest.testmod(cl4ctr).failed == 0
