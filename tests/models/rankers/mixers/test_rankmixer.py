"""RankMixer and its tokens against a loop-written reference."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

import hemix.models.layers.dense
import hemix.models.rankers.mixers.rankmixer
import hemix.models.rankers.mixers.token_mixing
from hemix.errors import DefinitionError
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.rankers.mixers.rankmixer import RankMixer, RankMixerBlock, RankMixerConfig
from hemix.models.rankers.mixers.token_mixing import pieces_of
from tests.models.rankers.mixers.reference_token_mixing import rankmixer_logits
from tests.models.rankers.reference_vectors import shaken

SMALL: dict[str, Any] = {
    "tokens": 6,
    "token_width": 12,
    "ffn_expansion": 2,
    "tower": (5,),
    "attention": (5,),
}


def make(**fields: Any) -> RankMixer:
    config = RankMixerConfig(embedding=EmbeddingConfig(width=4), **{**SMALL, **fields})
    return shaken(RankMixer(toy_spec(), config))


@pytest.mark.parametrize(
    "fields",
    [{}, {"interest": "mean"}, {"norm": False}, {"readout": "flatten"}, {"tokens": 12}],
    ids=str,
)
def test_equals_the_loop_written_reference(fields: dict[str, Any]) -> None:
    model, batch = make(**fields), toy_batch(rows=6)
    expected = rankmixer_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, expected[task], rtol=1e-4, atol=1e-4)


@given(groups=st.lists(st.integers(1, 9), min_size=1, max_size=5), more=st.integers(0, 20))
def test_pieces_cover_every_group_and_cross_none(groups: list[int], more: int) -> None:
    tokens = min(len(groups) + more, sum(groups))
    pieces = pieces_of(groups, tokens)
    assert len(pieces) == tokens
    assert min(pieces) >= 1
    ends, total = set(), 0
    for piece in pieces:
        total += piece
        ends.add(total)
    assert {sum(groups[: i + 1]) for i in range(len(groups))} <= ends


@pytest.mark.parametrize("tokens", [3, 13])
def test_tokens_that_do_not_fit_the_vectors_are_named(tokens: int) -> None:
    with pytest.raises(DefinitionError, match=f"12 vectors in 4 groups do not make {tokens}"):
        make(tokens=tokens, token_width=tokens)


def test_a_width_that_tokens_do_not_divide_is_refused() -> None:
    with pytest.raises(ValidationError, match="token_width 10 is not a multiple of tokens"):
        make(token_width=10)


def test_every_token_of_a_block_reads_all_tokens() -> None:
    block = shaken(RankMixerBlock(RankMixerConfig(tokens=4, token_width=8, norm=False)))
    x = torch.randn(1, 4, 8)
    for n in range(4):
        moved = x.clone()
        moved[:, n] += 1
        assert not torch.isclose(block(x), block(moved)).all(2).any()


def test_docstring_examples_run() -> None:
    for module in (
        hemix.models.rankers.mixers.rankmixer,
        hemix.models.rankers.mixers.token_mixing,
        hemix.models.layers.dense,
    ):
        assert doctest.testmod(module).failed == 0


def test_flops_equal_a_hand_count() -> None:
    tokens = 2 * 12 * 4 * 12  # all 12 vectors of 4, each in one token of 12
    block = 6 * 2 * 2 * 12 * 24
    towers = 2 * 2 * (12 * 5 + 5)
    got = make(interest="mean").flops_per_sample()
    assert got == {"request": 0, "candidate": tokens + 2 * block + towers}
    flat = make(interest="mean", readout="flatten").flops_per_sample()
    assert flat["candidate"] == got["candidate"] + 2 * 2 * 5 * 12 * 5
