"""DLRM against its loop-written reference."""

from __future__ import annotations

import doctest

import pytest
import torch

import hemix.models.rankers.interactions.dlrm
import hemix.models.rankers.vector
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.rankers.interactions.dlrm import DLRM, DLRMConfig
from tests.models.rankers.interactions.reference_interaction import dlrm_logits
from tests.models.rankers.reference_vectors import shaken


def make(*, numbers: bool = True, **fields: object) -> DLRM:
    fields = {"bottom": (5,), "top": (6, 4), "attention": (6, 4)} | fields
    config = DLRMConfig(embedding=EmbeddingConfig(width=3), **fields)  # type: ignore[arg-type]
    spec = toy_spec() if numbers else toy_spec().model_copy(update={"numeric": ()})
    return shaken(DLRM(spec, config))


@pytest.mark.parametrize("interest", ["mean", "din"])
@pytest.mark.parametrize("interaction", ["dot", "concat"])
@pytest.mark.parametrize("numbers", [True, False])
def test_equals_the_loop_written_reference(interest: str, interaction: str, numbers: bool) -> None:
    model = make(interest=interest, interaction=interaction, numbers=numbers)
    batch = toy_batch(rows=7)
    expected = dlrm_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, expected[task], rtol=1e-4, atol=1e-4)


def test_docstring_examples_run() -> None:
    for module in (hemix.models.rankers.interactions.dlrm, hemix.models.rankers.vector):
        assert doctest.testmod(module).failed == 0


def test_flops_equal_a_hand_count() -> None:
    # Width 3. Request: user, hour, age and six means; row: item, tag, clicks and the bottom vector.
    bottom, towers = 2 * (2 * 5 + 5 * 3), 2 * 2 * 4
    pairs = 9 * 8 // 2
    own = 13 * 12 // 2 - pairs
    assert make().flops_per_sample() == {
        "request": pairs * 2 * 3 + 2 * pairs * 6,
        "candidate": own * 2 * 3 + bottom + 2 * ((own + 3) * 6 + 6 * 4) + towers,
    }
    assert make(interaction="concat").flops_per_sample() == {
        "request": 2 * 27 * 6,
        "candidate": bottom + 2 * (12 * 6 + 6 * 4) + towers,
    }


def test_flops_of_the_interest_equal_a_hand_count() -> None:
    # As DIN's: item and tag compared (W=6), action beside (V=9), a() is 6-4-1, 6 + 3 events.
    plain, din = (
        make(interest=i, interaction="concat").flops_per_sample() for i in ("mean", "din")
    )
    moved = 2 * 18 * 6  # the interests' share of the top MLP is a candidate's, the means' was not
    assert din["request"] == plain["request"] - moved + 9 * 2 * 9 * 6
    one = 2 * (6 * 6 + 6 * 4 + 4) + 2 * 9
    assert din["candidate"] == plain["candidate"] + moved + 9 * one + 2 * 2 * 6 * 6
