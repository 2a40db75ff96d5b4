"""Widths per vocabulary: chosen by PCA, read as narrow tables, and a recipe for them."""

from __future__ import annotations

import doctest
from pathlib import Path

import pytest
import torch
from torch import Tensor
from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.errors import DefinitionError
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding import dimensions, widths
from hemix.models.embedding.dimensions import dimension, touched
from hemix.models.embedding.tables import EmbeddingConfig, FeatureEmbedding
from hemix.models.rankers.crossing.dcnv2 import DCNv2
from hemix.models.training.recipes import Recipe, recipe_of
from hemix.models.versions.version import write
from tests.models.rankers.reference_vectors import shaken

WIDTHS = {"user_id": 3, "item_id": 2}
NARROW = {"model.embedding.widths": "{user_id: 3, item_id: 2}", "model.embedding.width": "4"}


def slow_dimension(table: Tensor, ratio: float) -> int:
    """By the eigenvalues of the covariance, one after the other."""
    centred = table - table.mean(0)
    values = torch.linalg.eigvalsh(centred.T @ centred).flip(0)[: len(table) - 1]
    total = 0.0
    for number, value in enumerate(values.tolist(), 1):
        total += value / float(values.sum())
        if total > ratio:
            return number
    return len(values)


@pytest.mark.parametrize("ratio", [0.5, 0.8, 0.95, 1.0])
@pytest.mark.parametrize("rows", [3, 40])
def test_the_width_is_that_of_the_covariance_s_eigenvalues(rows: int, ratio: float) -> None:
    torch.manual_seed(rows)
    table = torch.randn(rows, 8, dtype=torch.float64) * torch.arange(1, 9) + 5
    assert dimension(table, ratio) == slow_dimension(table, ratio)
    assert dimension(table, ratio) <= min(rows - 1, 8)


def test_one_row_and_equal_rows_need_one_number() -> None:
    assert dimension(torch.randn(1, 4), 0.9) == 1
    assert dimension(torch.ones(5, 4), 0.9) == 1
    assert dimension(torch.empty(0, 4), 0.9) == 1


def test_rows_that_were_not_trained_are_left_out() -> None:
    torch.manual_seed(0)
    first = torch.randn(6, 4)
    trained = first * 0.7  # weight decay alone
    trained[[2, 4]] += torch.randn(2, 4)
    trained[5] = 0
    assert touched(trained, first).tolist() == [False, False, True, False, True, False]
    assert touched(trained, None).tolist() == [False] + [True] * 5


def embedding(*, plain: bool = False, sparse: bool = False) -> FeatureEmbedding:
    torch.manual_seed(0)
    config = EmbeddingConfig(width=4, widths=WIDTHS, sparse=sparse, std=0.5)
    return FeatureEmbedding(toy_spec(), config, plain=plain)


@pytest.mark.parametrize("plain", [False, True])
def test_narrow_rows_are_mapped_or_padded(plain: bool) -> None:
    made, batch = embedding(plain=plain), toy_batch(rows=5)
    for at, field in enumerate(toy_spec().categorical):
        table = made.tables[field.vocabulary].get_parameter("weight")
        assert table.shape[1] == WIDTHS.get(field.vocabulary, 4)
        found = made.fields(batch)[:, at]
        for row in range(5):
            own = table[batch.ids[field.name][row]]
            if len(own) < 4 and plain:
                own = torch.cat([own, own.new_zeros(4 - len(own))])
            elif len(own) < 4:
                own = made.alignment.maps[field.vocabulary].get_parameter("weight") @ own
            torch.testing.assert_close(found[row], own)


@pytest.mark.parametrize("sparse", [False, True])
def test_one_lookup_a_width_changes_no_gradient(sparse: bool) -> None:
    batch, found = toy_batch(rows=12, seed=3), []
    for fused in (False, True):
        made = embedding(sparse=sparse)

        def loss(made: FeatureEmbedding = made) -> Tensor:
            events = [made.events(batch, one)[0].square().sum() for one in toy_spec().sequences]
            return made.fields(batch).square().sum() + torch.stack(events).sum()

        if fused:
            with made.looked_up(batch):
                loss().backward()
        else:
            loss().backward()
        found.append(
            {n: p.grad.to_dense() for n, p in made.named_parameters() if p.grad is not None}
        )
    assert found[0].keys() == found[1].keys()
    for name, slope in found[0].items():
        torch.testing.assert_close(found[1][name], slope)


def test_a_ranker_that_puts_vectors_side_by_side_is_as_wide_as_its_tables() -> None:
    spec, batch = toy_spec(), toy_batch(rows=6)
    full = recipe_of("dcnv2", {"model.embedding.width": "4"}).build(spec)
    model = shaken(recipe_of("dcnv2", NARROW).build(spec))
    assert isinstance(model, DCNv2)
    assert isinstance(full, DCNv2)
    assert len(model.vector_widths) == sum(model.groups)
    assert model.flat_width == sum(model.vector_widths) < full.flat_width
    assert not model.embedding.alignment.maps
    state = model.encode_request(batch)
    x_BVE = model.inputs(model.row_vectors(state.vectors, batch))["cross"]  # type: ignore[attr-defined]
    dead = torch.ones(x_BVE.flatten(1).shape[1], dtype=torch.bool)
    dead[model.live] = False
    assert not x_BVE.flatten(1)[:, dead].any()
    assert x_BVE.flatten(1)[:, ~dead].any(0).all()
    model(batch)["click"].sum().backward()
    refined = recipe_of("dcnv2", {**NARROW, "model.refine": "vgate"}).build(spec)
    assert isinstance(refined, DCNv2)
    assert refined.flat_width == full.flat_width
    assert set(refined.embedding.alignment.maps) == set(WIDTHS)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"model.embedding.widths": "{item_id: 99}"}, "more than embedding.width"),
        ({"model.embedding.widths": "{nobody: 1}"}, "widths: there is no vocabulary 'nobody'"),
        (
            {**NARROW, "training.objective.group_ce.weight": "1"},
            "objective.group_ce quantises rows of one width",
        ),
    ],
)
def test_what_cannot_be_is_refused(fields: dict[str, str], said: str) -> None:
    with pytest.raises(DefinitionError, match=said):
        recipe_of("fm", fields).build(toy_spec())


def test_the_command_prints_and_writes_a_recipe(
    tmp_path: Path,
) -> None:
    (tmp_path / "transform").mkdir()
    toy_spec().write(tmp_path / "transform" / "spec.json")
    chosen = recipe_of("dlrm", {"model.embedding.width": "4", "training.seed": "5"})
    torch.manual_seed(5)
    ranker = chosen.build(toy_spec()).eval()
    line = torch.tensor([1.0, 2.0, 0.0, 0.0])
    with torch.no_grad():  # all rows of one direction, but for those that stay as they began
        table = ranker.embedding.tables["item_id"].get_parameter("weight")
        table[1:-4] = torch.arange(1.0, len(table) - 4)[:, None] * line
    write(
        tmp_path / "v1",
        ranker=ranker,
        recipe=chosen,
        transform=tmp_path / "transform",
        version="v1",
        feature_service="ranker_v1",
        training_window={},
        metrics={},
    )
    output = tmp_path / "narrow.yaml"
    result = CliRunner().invoke(
        app, ["dimensions", str(tmp_path / "v1"), "--ratio", "0.9", "--output", str(output)]
    )
    assert result.exit_code == 0, result.output
    written = recipe_of(str(output))
    assert isinstance(written, Recipe)
    assert written.model.embedding.widths["item_id"] == 1
    assert written.ranker == "dlrm"
    rebuilt = written.build(toy_spec())
    assert rebuilt.embedding.tables["item_id"].get_parameter("weight").shape[1] == 1
    assert "item_id" in result.output


def test_docstring_examples_run() -> None:
    assert doctest.testmod(dimensions).failed == 0
    assert doctest.testmod(widths).failed == 0
