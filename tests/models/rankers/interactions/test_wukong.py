"""Wukong against its loop-written reference."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
import torch

import hemix.models.rankers.interactions.wukong
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.rankers.interactions.wukong import FactorizationBlock, Wukong, WukongConfig
from tests.models.rankers.interactions.reference_interaction import wukong_logits
from tests.models.rankers.reference_vectors import shaken

SMALL: dict[str, Any] = {
    "machines": 2,
    "compressed": 3,
    "rank": 2,
    "hidden": (6, 5),
    "final": (7,),
    "attention": (5,),
}


def make(**fields: Any) -> Wukong:
    config = WukongConfig(embedding=EmbeddingConfig(width=4), **{**SMALL, **fields})
    return shaken(Wukong(toy_spec(), config))


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"interest": "mean"},
        {"norm": False},
        {"layers": 3},
        {"machines": 5, "compressed": 7, "layers": 1},  # twelve, as many as enter: a plain residual
    ],
    ids=str,
)
def test_equals_the_loop_written_reference(fields: dict[str, Any]) -> None:
    model, batch = make(**fields), toy_batch(rows=6)
    expected = wukong_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, expected[task], rtol=1e-4, atol=1e-4)


def test_the_compressed_machine_is_that_of_all_pairs_times_y() -> None:
    torch.manual_seed(0)
    x_BnE = torch.randn(3, 5, 4)
    block = FactorizationBlock(5, 4, WukongConfig(machines=2, rank=2, hidden=(3,)))
    full_Bnk = (x_BnE @ x_BnE.transpose(1, 2)) @ block.y
    expected = block.out(block.mlp(block.norm(full_Bnk.flatten(1)))).reshape(3, 2, 4)
    torch.testing.assert_close(block(x_BnE), expected)


def test_docstring_examples_run() -> None:
    assert doctest.testmod(hemix.models.rankers.interactions.wukong).failed == 0


def test_flops_equal_a_hand_count() -> None:
    def layer(n: int, residual: bool) -> int:
        machine = 2 * n * 4 * 2 + 2 * n * 4 * 2  # Y' X, then its products with X
        mlp = 2 * (2 * n * 6 + 6 * 5 + 5 * 2 * 4)
        return machine + mlp + 2 * 3 * n * 4 + (2 * 5 * n * 4 if residual else 0)

    expected = layer(12, True) + layer(5, False) + 2 * 20 * 7 + 2 * 2 * 7
    got = make(interest="mean").flops_per_sample()
    assert got == {"request": 0, "candidate": expected}
