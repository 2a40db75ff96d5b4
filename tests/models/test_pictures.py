"""What rankers and layers offer to be looked at, and how it is collected."""

from __future__ import annotations

import doctest
from collections.abc import Iterable

import pytest
import torch
from torch import Tensor, nn

import hemix.models.pictures
from hemix.models.data.batch import Batch
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.pictures import Axis, Look, Picture, pictures_of
from hemix.models.rankers.crossing.dcnv2 import DCNv2
from hemix.models.rankers.interactions.autoint import AutoInt
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
