"""AutoInt+ against its loop-written reference."""

from __future__ import annotations

import doctest

import pytest
import torch

import hemix.models.rankers.interactions.autoint
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.rankers.interactions.autoint import AutoInt, AutoIntConfig
from tests.models.rankers.interactions.reference_interaction import autoint_logits
from tests.models.rankers.reference_vectors import shaken


def make(**fields: object) -> AutoInt:
    fields = {"layers": 2, "heads": 2, "head_width": 3, "deep": (6, 4), "attention": (5,)} | fields
    config = AutoIntConfig(embedding=EmbeddingConfig(width=4), **fields)  # type: ignore[arg-type]
    return shaken(AutoInt(toy_spec(), config))


@pytest.mark.parametrize("interest", ["mean", "din"])
@pytest.mark.parametrize("deep", [(6, 4), ()])
def test_equals_the_loop_written_reference(interest: str, deep: tuple[int, ...]) -> None:
    model, batch = make(interest=interest, deep=deep), toy_batch(rows=5)
    expected = autoint_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, expected[task], rtol=1e-4, atol=1e-4)


def test_docstring_examples_run() -> None:
    assert doctest.testmod(hemix.models.rankers.interactions.autoint).failed == 0


def test_flops_equal_a_hand_count() -> None:
    # 12 vectors of 4; three fields and six means of the request; heads of 3 make 6.
    first = 2 * 4 * 12 * 4 * 6 + 2 * 2 * 12 * 12 * 6
    second = 2 * 4 * 12 * 6 * 6 + 2 * 2 * 12 * 12 * 6
    towers = 2 * 2 * 12 * 6
    assert make(deep=()).flops_per_sample() == {"request": 0, "candidate": first + second + towers}
    assert make().flops_per_sample() == {
        "request": 2 * 36 * 6,
        "candidate": first + second + towers + 2 * (12 * 6 + 6 * 4) + 2 * 2 * 4,
    }
