"""The weights that people look at are those that the model reads its events with."""

from __future__ import annotations

import pytest
import torch

from hemix.errors import DefinitionError
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.layers.attention.mixed import MixedHeteroAttention
from hemix.models.rankers.hemix.attention_weights import attention_weights
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.hemix.model import HeMix


@torch.no_grad()
@pytest.mark.parametrize("null", [True, False])
def test_weighted_values_are_what_the_model_reads(null: bool) -> None:
    torch.manual_seed(3)
    model = HeMix(toy_spec(), HeMixConfig(token_width=8, null_item=null)).eval()
    rows = toy_batch(rows=5)
    request, items = rows.take(torch.tensor([2])), rows.take(torch.tensor([0, 3, 4]))
    weights = attention_weights(model, request, items)
    t_ns = model._ns(model._request_fields(request), items)
    assert list(weights) == [sequence.name for sequence in model.sequences]
    for number, (group, interest) in enumerate(
        zip(model._groups(t_ns), model.attention, strict=True)
    ):
        assert isinstance(interest, MixedHeteroAttention)
        events = model.events(request, number)
        _, values = interest.keys_values(events)
        shares = weights[model.sequences[number].name]
        if null:
            shares = torch.cat([1 - shares.sum(-1, keepdim=True), shares], -1)
        read = torch.einsum("nqhl,hla->nqha", shares, values).flatten(2) @ interest.out
        torch.testing.assert_close(
            read, interest(interest.encode(events), group), rtol=1e-4, atol=1e-5
        )


def test_other_interests_have_none() -> None:
    model = HeMix(toy_spec(), HeMixConfig(token_width=8, interest="mean")).eval()
    rows = toy_batch(rows=3)
    with pytest.raises(DefinitionError, match="interest=mixed"):
        attention_weights(model, rows.take(torch.tensor([0])), rows)
