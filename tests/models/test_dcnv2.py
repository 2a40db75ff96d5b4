"""DCN V2 against its loop-written reference."""

from __future__ import annotations

import doctest

import torch

import hemix.models.rankers.crossing.dcnv2
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.rankers.crossing.dcnv2 import DCNv2, DCNv2Config
from tests.models.reference import dcnv2_logits


def make() -> DCNv2:
    torch.manual_seed(0)
    config = DCNv2Config(embedding=EmbeddingConfig(width=3), crosses=3, deep=(6, 4), tower=(5,))
    model = DCNv2(toy_spec(), config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    return model


def test_equals_the_loop_written_reference() -> None:
    model, batch = make(), toy_batch(rows=7)
    expected = dcnv2_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, torch.tensor(expected[task]), rtol=1e-4, atol=1e-4)


def test_docstring_examples_run() -> None:
    assert doctest.testmod(hemix.models.rankers.crossing.dcnv2).failed == 0


def test_flops_equal_a_hand_count() -> None:
    d = 3 * 6 + 2 * 3 * 3  # six fields and the means of two times three columns, width 3
    expected = 3 * 2 * d * d + 2 * (d * 6 + 6 * 4) + 2 * (2 * ((d + 4) * 5 + 5))
    assert make().flops_per_sample() == {"request": 0, "candidate": expected}
