"""What rankers and layers offer to be looked at, and how it is collected."""

from __future__ import annotations

import doctest
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import hemix.models.pictures
from hemix.models.data.batch import Batch
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.pictures import Axis, Look, Picture, pictures_of
from hemix.models.rankers.base import Ranker
from hemix.models.rankers.crossing.dcnv2 import DCNv2
from hemix.models.rankers.crossing.gdcn import GDCNS
from hemix.models.rankers.ensemble.adaensemble import AdaEnsemble
from hemix.models.rankers.hemix.model import HeMix
from hemix.models.rankers.interactions.autoint import AutoInt
from hemix.models.rankers.polynomial.xdeepint import XDeepInt
from hemix.models.rankers.vector import VectorRankerConfig


class Doubles(nn.Module):
    """Doubles vectors, and shows its one weight and by how much the means of rows grew."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, x_BVE: Tensor) -> Tensor:
        return x_BVE * self.factor

    def pictures(self, look: Look) -> Iterable[Picture]:
        yield Picture(
            title="Factor",
            reading="One bar.",
            axes=(Axis(title="", labels=("factor",)),),
            values=self.factor[None],
        )
        for call in look.calls(self):
            yield Picture(
                title="Growth",
                reading="2 everywhere.",
                axes=(
                    Axis(title="row", labels=look.rows),
                    Axis(title="vector", labels=look.vectors),
                ),
                values=(call.output / call.inputs[0]).mean(-1),
                about="rows",
            )


class Whole(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = Doubles()

    def forward(self, batch: Batch) -> Tensor:
        return self.inner(torch.ones(batch.size, 3, 4))


def test_docstring_examples_run() -> None:
    assert doctest.testmod(hemix.models.pictures).failed == 0


def test_layers_show_weights_and_what_they_did_with_rows() -> None:
    model, batch = Whole(), toy_batch(rows=2)
    assert [p.title for p in pictures_of(model, ("a", "b", "c"))] == ["Factor"]
    factor, growth = pictures_of(model, ("a", "b", "c"), batch)
    assert (factor.about, growth.about) == ("weights", "rows")
    assert growth.axes[0].labels == ("1", "2")
    torch.testing.assert_close(growth.values, torch.full((2, 3), 2.0))
    assert not model.inner._forward_hooks, "nobody looks any more"


def test_a_ranker_that_offers_nothing_has_no_pictures() -> None:
    ranker = DCNv2(toy_spec(), DCNv2.config_type()).eval()
    assert pictures_of(ranker, ranker.vector_names, toy_batch(rows=2)) == ()


def test_values_must_fit_their_axes() -> None:
    with pytest.raises(ValueError, match=r"'Odd': values of shape \(3,\) for axes of \(2,\)"):
        Picture(
            title="Odd",
            reading="",
            axes=(Axis(title="", labels=("a", "b")),),
            values=torch.zeros(3),
        )


@pytest.mark.parametrize("interest", ["mean", "din"])
@torch.no_grad()
def test_a_vector_of_a_row_changes_with_the_feature_of_its_name(interest: str) -> None:
    """Names are in the order of the vectors: a table that grows, grows the vectors named after it."""
    config = AutoInt.config_type(embedding=EmbeddingConfig(width=4), interest=interest)
    assert isinstance(config, VectorRankerConfig)
    torch.manual_seed(0)
    model = AutoInt(toy_spec(), config).eval()
    batch, spec = toy_batch(rows=4), toy_spec()

    def vectors() -> Tensor:
        state = model.request_vectors(batch)
        return torch.cat([state.vectors, model.candidate_vectors(state, batch)], 1)

    before, names = vectors(), model.vector_names
    assert before.shape[1] == len(names)
    for vocabulary in spec.vocabularies:
        named = {f.name for f in spec.categorical if f.vocabulary == vocabulary.name}
        named |= {
            f"{s.name} {c.role} ({interest if interest == 'mean' else 'interest'})"
            for s in spec.sequences
            for c in s.columns
            if c.vocabulary == vocabulary.name
        }
        table = model.embedding.tables[vocabulary.name].get_parameter("weight")
        old = table.clone()
        # Interests' weights change too; zeroes alone leave a vector at nothing.
        table.zero_()
        nothing = {
            name
            for name, vector in zip(names, vectors().unbind(1), strict=True)
            if not vector.any()
        }
        assert nothing == named
        table.copy_(old)


ONES: dict[str, tuple[type[Ranker], dict[str, Any], set[str]]] = {
    "hemix": (HeMix, {"token_width": 8}, {"rows"}),
    "gdcn": (GDCNS, {"deep": (4,), "crosses": 2}, {"weights", "rows"}),
    "adaensemble": (AdaEnsemble, {}, {"weights", "rows"}),
    "xdeepint": (XDeepInt, {"subspaces": 2}, {"weights"}),
    "refined": (DCNv2, {"refine": "senet"}, {"rows"}),
}


@pytest.mark.parametrize("one", ONES.values(), ids=ONES)
def test_rankers_show_what_they_have(
    one: tuple[type[Ranker], dict[str, Any], set[str]],
) -> None:
    kind, fields, about = one
    torch.manual_seed(0)
    config = kind.config_type(embedding=EmbeddingConfig(width=4), **fields)
    ranker, batch = kind(toy_spec(), config).eval(), toy_batch(rows=5)
    alone = pictures_of(ranker, ranker.vector_names)
    found = pictures_of(ranker, ranker.vector_names, batch)
    assert {picture.about for picture in found} == about
    assert [p.title for p in found if p.about == "weights"] == [p.title for p in alone]
    for picture in found:
        shown = picture.as_json()
        assert shown["reading"].endswith(".")
        assert len(shown["values"]) == len(shown["axes"][0]["labels"])
        assert picture.values.isfinite().any()


@torch.no_grad()
def test_a_pair_s_importance_is_the_norm_of_its_block_and_gates_are_those_of_the_row() -> None:
    torch.manual_seed(0)
    config = GDCNS.config_type(embedding=EmbeddingConfig(width=4), deep=(4,), crosses=2)
    ranker, batch = GDCNS(toy_spec(), config).eval(), toy_batch(rows=3)
    first, _, mean, gates, _ = pictures_of(ranker, ranker.vector_names, batch)
    weight = ranker.crosses.layers[0].linear.weight
    i, j = 2, 5
    block = [weight[4 * i + a, 4 * j + b] ** 2 for a in range(4) for b in range(4)]
    assert float(first.values[i, j]) == pytest.approx(float(sum(block)) ** 0.5)
    state = ranker.encode_request(batch)
    flat = ranker.row_vectors(state.vectors, batch).flatten(1)
    entry = torch.sigmoid(ranker.crosses.layers[0].gate.weight @ flat[1])[4 * i : 4 * i + 4]
    torch.testing.assert_close(gates.values[1, i], entry.mean())
    torch.testing.assert_close(mean.values[0], gates.values.mean(0))


@torch.no_grad()
def test_weights_of_pairs_are_folded_over_subspaces_and_zeroes_are_counted() -> None:
    config = XDeepInt.config_type(embedding=EmbeddingConfig(width=4), subspaces=2, layers=1)
    ranker = XDeepInt(toy_spec(), config)
    (weight,) = ranker.network.weights
    size = len(weight) // 2
    weight.zero_()
    weight[1, 2], weight[size + 1, 2] = 3.0, -1.0
    (picture,) = pictures_of(ranker, ranker.vector_names)
    assert float(picture.values[1, 2]) == 1.0  # (3 + 0 + 1 + 0) / 4
    assert float(picture.values.sum()) == 1.0
    assert "100% of the weights" in picture.title or "99% of the weights" in picture.title


@torch.no_grad()
def test_rows_that_left_have_no_route() -> None:
    torch.manual_seed(1)
    ranker, batch = AdaEnsemble(toy_spec(), AdaEnsemble.config_type()).eval(), toy_batch(rows=40)
    found = pictures_of(ranker, ranker.vector_names, batch)
    *layers, depth = (picture for picture in found if picture.about == "rows")
    assert len(depth.values.unique()) > 1, "all leave at one depth: nothing is tested"
    for level, picture in enumerate(layers):
        there = ~picture.values.isnan().any(1)
        assert torch.equal(there, depth.values > level)
        torch.testing.assert_close(picture.values[there].sum(1), torch.ones(int(there.sum())))


@torch.no_grad()
def test_an_even_reading_is_one() -> None:
    model = HeMix(toy_spec(), HeMix.config_type(token_width=8)).eval()
    for interest in model.attention:
        interest.query.zero_()
    batch = toy_batch(rows=3)
    found = pictures_of(model, model.vector_names, batch)
    assert found
    for picture in found:
        torch.testing.assert_close(picture.values, torch.ones_like(picture.values))
    names = {
        name: [["an item"] * int(n) for n in lists.lengths] for name, lists in batch.lists.items()
    }
    labelled = pictures_of(model, model.vector_names, batch, events=names)
    assert {label for p in labelled for label in p.axes[1].labels} == {"an item"}
