"""DIN against its loop-written reference."""

from __future__ import annotations

import doctest

import torch

import hemix.models.embedding.target_attention
import hemix.models.rankers.histories.din
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.rankers.histories.din import DIN, DINConfig
from tests.models.rankers.reference import din_logits


def make() -> DIN:
    torch.manual_seed(0)
    config = DINConfig(embedding=EmbeddingConfig(width=3), attention=(6, 4), tower=(7, 5))
    model = DIN(toy_spec(), config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def test_equals_the_loop_written_reference() -> None:
    model, batch = make(), toy_batch(rows=7)
    expected = din_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, torch.tensor(expected[task]), rtol=1e-4, atol=1e-4)


def test_interest_depends_on_the_candidate() -> None:
    model, batch = make(), toy_batch(rows=7)
    other = toy_batch(rows=7, seed=1)
    moved = other.ids["item_id"] != batch.ids["item_id"]
    seen = (batch.lists["global"].lengths > 0) & moved

    def interest() -> torch.Tensor:
        events = model.attention.events(model.embedding, batch)
        return model.attention.of(model.embedding, events, batch)[0]

    before = interest()
    batch.ids["item_id"] = other.ids["item_id"]
    after = interest()
    assert not torch.isclose(before[seen], after[seen]).all(1).any()
    assert torch.equal(before[~moved], after[~moved])


def test_docstring_examples_run() -> None:
    for module in (hemix.models.rankers.histories.din, hemix.models.embedding.target_attention):
        assert doctest.testmod(module).failed == 0


def test_flops_equal_a_hand_count() -> None:
    # Width 3; item and tag are shared (W=6), action is extra (V=9), a() is 6-4-1; 6 + 3 events.
    request = 9 * 2 * (9 * 6)
    one = 2 * (6 * 6 + 6 * 4 + 4) + 2 * 9
    candidate = 9 * one + 2 * (2 * 6 * 6)
    trunk = 2 * ((6 * 3 + 2 * 9) * 7)
    towers = 2 * 2 * (7 * 5 + 5)
    expected = {"request": request, "candidate": candidate + trunk + towers}
    assert make().flops_per_sample() == expected
