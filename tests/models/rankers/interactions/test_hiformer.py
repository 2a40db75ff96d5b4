"""Hiformer against its loop-written reference."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
import torch
from pydantic import ValidationError

import hemix.models.rankers.interactions.hiformer
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.rankers.interactions.hiformer import Hiformer, HiformerConfig
from tests.models.rankers.interactions.reference_interaction import hiformer_logits
from tests.models.rankers.reference_vectors import shaken

SMALL: dict[str, Any] = {
    "heads": 2,
    "rank": 3,
    "ffn_expansion": 2,
    "tower": (5,),
    "attention": (5,),
}


def make(**fields: Any) -> Hiformer:
    config = HiformerConfig(embedding=EmbeddingConfig(width=4), **{**SMALL, **fields})
    return shaken(Hiformer(toy_spec(), config))


@pytest.mark.parametrize(
    "fields", [{}, {"interest": "mean"}, {"norm": False}, {"layers": 1}, {"heads": 4}], ids=str
)
def test_equals_the_loop_written_reference(fields: dict[str, Any]) -> None:
    model, batch = make(**fields), toy_batch(rows=5)
    expected = hiformer_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, expected[task], rtol=1e-4, atol=1e-4)


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"embedding\.width 4 is not a multiple of heads"):
        make(heads=3)


def test_docstring_examples_run() -> None:
    assert doctest.testmod(hemix.models.rankers.interactions.hiformer).failed == 0


def test_flops_equal_a_hand_count() -> None:
    n = 2 + 12  # task tokens and vectors, of width 4; two heads, rank 3

    def layer(rows: int) -> int:
        down = 3 * 2 * 2 * (4 * n) * 3
        up = 2 * 2 * 3 * (2 * rows + 2 * n + 2 * n)
        read = 2 * 2 * 2 * rows * n * 2  # two heads of width 2: scores, sums
        return down + up + read + rows * 2 * 2 * 4 * 8

    towers = 2 * 2 * (4 * 5 + 5)
    got = make(interest="mean").flops_per_sample()
    assert got == {"request": 0, "candidate": layer(n) + layer(2) + towers}
