"""The Triton kernels equal the tiles: run by test_kernels.py in a process of Triton's interpreter."""

from __future__ import annotations

import os

import pytest
import torch
from torch import Tensor

from hemix.models.layers.attention import reading
from hemix.models.layers.attention.blocks import SHARED, blocks_of
from hemix.models.layers.attention.events import Events

torch.set_num_threads(1)
LENGTHS = {"short": (3, 0, 1, 20), "several blocks": (70, 0, 130, 64)}


@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize(("many", "width"), [(3, 5), (16, 16), (17, 20), (70, 20)])
@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)
def test_outputs_and_gradients_are_those_of_tiles(
    lengths: tuple[int, ...], many: int, width: int, null: bool
) -> None:
    torch.manual_seed(0)
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    q = torch.randn(len(lengths), many, width, requires_grad=True)
    values = torch.randn(sum(lengths), width, requires_grad=True)
    score = torch.randn(len(lengths), many, requires_grad=True) if null else None
    inputs = [q, values] if score is None else [q, values, score]

    def gradients(results: tuple[Tensor, Tensor]) -> list[Tensor]:
        torch.manual_seed(1)
        read, weight = results
        total = (read * torch.randn_like(read)).sum() + (weight * torch.randn_like(weight)).sum()
        return list(torch.autograd.grad(total, inputs))

    events = Events(values=values, offsets=offsets)
    ours, theirs = reading.fused(q, score, values, offsets), reading.attend(q, score, events)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-5, atol=1e-5)
    for mine, other in zip(gradients(ours), gradients(theirs), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("many", [4, 70])
def test_half_precision_is_near(many: int) -> None:
    # Triton's interpreter knows no bfloat16 products; float16 takes the same way.
    torch.manual_seed(0)
    offsets = torch.tensor([0, 30, 30, 100])
    q, values = torch.randn(3, many, 16) / 4, torch.randn(100, 16, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.float16):
        half, _ = reading.fused(q, None, values, offsets)
    full, _ = reading.fused(q, None, values, offsets)
    torch.testing.assert_close(half, full, rtol=0, atol=0.01)
    towards = torch.randn_like(full)
    rough, exact = (torch.autograd.grad(read, values, towards)[0] for read in (half, full))
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.01)


def test_more_queries_than_a_block_holds_are_split() -> None:
    blocks = [blocks_of(70, 20, kind, SHARED) for kind in (torch.float32, torch.half)]
    assert [block.queries for block in blocks if block is not None] == [32, 64]


def test_the_interpreter_runs_them() -> None:
    assert os.environ["TRITON_INTERPRET"] == "1"
    assert not torch.cuda.is_available()
