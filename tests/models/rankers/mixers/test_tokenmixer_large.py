"""TokenMixer-Large against its loop-written reference."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
import torch

import hemix.models.rankers.mixers.tokenmixer_large
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.rankers.mixers.tokenmixer_large import TokenMixerLarge, TokenMixerLargeConfig
from tests.models.rankers.mixers.reference_token_mixing import tokenmixer_large_logits
from tests.models.rankers.reference_vectors import shaken

SMALL: dict[str, Any] = {"tokens": 6, "token_width": 12, "tower": (5,), "attention": (5,)}


def make(**fields: Any) -> TokenMixerLarge:
    config = TokenMixerLargeConfig(embedding=EmbeddingConfig(width=4), **{**SMALL, **fields})
    return TokenMixerLarge(toy_spec(), config).eval()


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"interest": "mean"},
        {"readout": "flatten"},
        {"blocks": 5},
        {"blocks": 3, "residual_every": 3, "ffn_expansion": 2},
        {"residual_every": None},
    ],
    ids=str,
)
def test_equals_the_loop_written_reference(fields: dict[str, Any]) -> None:
    model, batch = shaken(make(**fields)), toy_batch(rows=6)
    expected = tokenmixer_large_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, expected[task], rtol=1e-4, atol=1e-4)


def test_blocks_start_near_the_identity() -> None:
    torch.manual_seed(0)
    model, x = make(residual_every=None, token_width=60), torch.randn(4, 6, 60)
    assert (model.mix(x) - x).abs().mean() < 0.1 * x.abs().mean()


def test_docstring_examples_run() -> None:
    assert doctest.testmod(hemix.models.rankers.mixers.tokenmixer_large).failed == 0


def test_flops_equal_a_hand_count() -> None:
    tokens = 2 * 2 * 12 * 4 * 12  # all 12 vectors of 4, in one semantic token and the global one
    swiglu = 6 * 3 * 2 * 12 * 24
    towers = 2 * 2 * (12 * 5 + 5)
    got = make(interest="mean", ffn_expansion=2).flops_per_sample()
    assert got == {"request": 0, "candidate": tokens + 2 * 2 * swiglu + towers}
