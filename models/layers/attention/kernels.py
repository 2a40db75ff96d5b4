"""Query-mixed attention in one Triton kernel a direction: no padding, scores stay on the chip.

Axes: ``B`` rows, ``M`` queries of a row, ``T`` events of all rows, ``S`` width of events and
queries. The mathematics and the names are those of :mod:`hemix.models.layers.attention.tiled`; a row here is one
stretch. One program reads the events of one row, block by block, with a running softmax; scores and
weights never leave the chip, and no row is padded to another's length.

A program keeps a block of a row's queries (:func:`hemix.models.layers.attention.blocks.blocks_of`). When there
are more, the row's events are read once for each block: forward by programs side by side, backward
by launches one after the other, each adding to the events' gradient what its queries give, so that
the sum has one order and needs no atomic additions.

Tested on the CPU through Triton's interpreter, and compiled for sm_80 and sm_90 without a GPU; its
speed on a GPU has not been measured.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs
from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from hemix.models.layers.attention.blocks import Blocks


@triton.jit
def _forward(
    q_ptr, events_ptr, offsets_ptr, out_ptr, total_ptr, M, S,
    BLOCK_M: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_S: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    begin, end = tl.load(offsets_ptr + row), tl.load(offsets_ptr + row + 1)
    m, s = tl.program_id(1) * BLOCK_M + tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_S)
    mine = (m[:, None] < M) & (s[None] < S)
    at = (row * M + m[:, None]) * S + s[None]
    q = tl.load(q_ptr + at, mask=mine, other=0.0)
    top = tl.full((BLOCK_M,), float("-inf"), tl.float32)
    sums = tl.zeros((BLOCK_M,), tl.float32)
    read = tl.zeros((BLOCK_M, BLOCK_S), tl.float32)
    for start in range(begin, end, BLOCK_L):
        places = start + tl.arange(0, BLOCK_L)
        there = places < end
        e = tl.load(
            events_ptr + places[:, None] * S + s[None],
            mask=there[:, None] & (s[None] < S),
            other=0.0,
        )
        score = tl.dot(q, tl.trans(e), input_precision=PRECISION)
        score = tl.where(there[None], score, float("-inf"))
        higher = tl.maximum(top, tl.max(score, 1))
        keep = tl.exp(top - higher)
        weight = tl.exp(score - higher[:, None])
        sums = sums * keep + tl.sum(weight, 1)
        read = read * keep[:, None]
        read += tl.dot(weight.to(e.dtype), e, input_precision=PRECISION)
        top = higher
    full = sums > 0  # a row without events reads nothing
    read = tl.where(full[:, None], read / tl.where(full, sums, 1.0)[:, None], 0.0)
    tl.store(out_ptr + at, read.to(out_ptr.dtype.element_ty), mask=mine)
    total = tl.where(full, top + tl.log(tl.where(full, sums, 1.0)), float("-inf"))
    tl.store(total_ptr + row * M + m, total, mask=m < M)


@triton.jit(do_not_specialize=["first"])
def _backward(
    q_ptr, events_ptr, offsets_ptr, total_ptr, shift_ptr, d_out_ptr, d_q_ptr, d_events_ptr,
    M, S, first, MORE: tl.constexpr,
    BLOCK_M: tl.constexpr, BLOCK_L: tl.constexpr, BLOCK_S: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    row = tl.program_id(0).to(tl.int64)
    begin, end = tl.load(offsets_ptr + row), tl.load(offsets_ptr + row + 1)
    m, s = first + tl.arange(0, BLOCK_M), tl.arange(0, BLOCK_S)
    mine = (m[:, None] < M) & (s[None] < S)
    at = (row * M + m[:, None]) * S + s[None]
    q = tl.load(q_ptr + at, mask=mine, other=0.0)
    d_out = tl.load(d_out_ptr + at, mask=mine, other=0.0)
    total = tl.load(total_ptr + row * M + m, mask=m < M, other=0.0)
    shift = tl.load(shift_ptr + row * M + m, mask=m < M, other=0.0)
    d_q = tl.zeros((BLOCK_M, BLOCK_S), tl.float32)
    for start in range(begin, end, BLOCK_L):
        places = start + tl.arange(0, BLOCK_L)
        there = places < end
        held = there[:, None] & (s[None] < S)
        where = places[:, None] * S + s[None]
        e = tl.load(events_ptr + where, mask=held, other=0.0)
        score = tl.dot(q, tl.trans(e), input_precision=PRECISION)
        seen = there[None] & (m[:, None] < M)
        weight = tl.where(seen, tl.exp(tl.where(seen, score - total[:, None], 0.0)), 0.0)
        d_weight = tl.dot(d_out, tl.trans(e), input_precision=PRECISION)
        d_score = (weight * (d_weight - shift[:, None])).to(e.dtype)
        d_e = tl.dot(tl.trans(weight.to(e.dtype)), d_out, input_precision=PRECISION)
        d_e += tl.dot(tl.trans(d_score), q, input_precision=PRECISION)
        if MORE:  # the queries before these have written their part
            d_e += tl.load(d_events_ptr + where, mask=held, other=0.0)
        tl.store(d_events_ptr + where, d_e.to(d_events_ptr.dtype.element_ty), mask=held)
        d_q += tl.dot(d_score, e, input_precision=PRECISION)
    tl.store(d_q_ptr + at, d_q.to(q.dtype), mask=mine)


class Fused(torch.autograd.Function):
    """``q [B, M, S], events [T, S], offsets [B + 1] -> o [B, M, S], z [B, M]`` (float32).

    Rows without events get ``o = 0`` and ``z = -inf``. ``blocks``: as
    :func:`hemix.models.layers.attention.blocks.blocks_of` gives them for these queries and this device.
    """

    @staticmethod
    def forward(
        ctx: Any, q: Tensor, events: Tensor, offsets: Tensor, blocks: Blocks
    ) -> tuple[Tensor, Tensor]:
        q, events = q.contiguous(), events.contiguous()
        out, total = torch.empty_like(q), q.new_empty(q.shape[:2], dtype=torch.float32)
        grid = (len(q), triton.cdiv(q.shape[1], blocks.queries))
        _forward[grid](q, events, offsets, out, total, *q.shape[1:], **options(blocks))
        ctx.blocks = blocks
        ctx.save_for_backward(q, events, offsets, out, total)
        return out, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None, None]:
        q, events, offsets, out, total = ctx.saved_tensors
        blocks: Blocks = ctx.blocks
        d_out, d_total = grads
        d_out = d_out.contiguous()
        shift = ((d_out * out).sum(-1, dtype=torch.float32) - d_total).contiguous()
        firsts = range(0, q.shape[1], blocks.queries)
        d_q = torch.empty_like(q)
        # Sums over several blocks of queries are kept in float32.
        d_events = torch.empty_like(events, dtype=torch.float32 if len(firsts) > 1 else None)
        for first in firsts:
            _backward[(len(q),)](
                q, events, offsets, total, shift, d_out, d_q, d_events,
                *q.shape[1:], first, MORE=first > 0, **options(blocks),
            )  # fmt: skip
        return d_q, d_events.to(events.dtype), None, None


def options(blocks: Blocks) -> dict[str, Any]:
    """The kernels' constants, and how Triton is to compile them."""
    return {
        "BLOCK_M": blocks.queries,
        "BLOCK_L": blocks.events,
        "BLOCK_S": blocks.width,
        "PRECISION": blocks.precision,
        "num_warps": blocks.warps,
        "num_stages": blocks.stages,
    }
