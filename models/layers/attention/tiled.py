"""Softmax attention of a row's queries over its own events, tile by tile.

Axes: ``B`` rows, ``M`` queries of a row, ``P`` places and ``K`` stretches of a layout, ``S`` width
of events and queries.

    o_k = softmax(q_k E_k') E_k,   z_k = log sum exp(q_k E_k')            for a stretch k
    z   = log(exp(z_null) + sum_k exp(z_k)),   o = sum_k exp(z_k - z) o_k  for its row

The events are keys and values at once. Kept for the backward pass are the events, ``o_k`` and
``z_k``; the weights ``[M, P]`` are computed again, tile by tile:

    P = exp(q E' - z_k),   dS = P * (do E' - (do . o_k - dz_k)),   dE = P' do + dS' q,   dq = dS E
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from hemix.models.layers.attention.layout import Layout
from hemix.models.layers.compiling import left_alone

NEVER = float("-inf")


class _Stretches(torch.autograd.Function):
    """``q [K, M, S], events [P, S] -> o [K, M, S], z [K, M]`` of every stretch on its own."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, events: Tensor, layout: Layout) -> tuple[Tensor, Tensor]:
        out, total = torch.empty_like(q), q.new_empty(q.shape[:2])
        scratch = _scratch(q, layout, 1)
        for tile in layout.tiles:
            mine, e_KWS = tile.stretches, events[tile.places].view(tile.count, tile.width, -1)
            s_KMW = _cut(scratch, tile.count, q.shape[1], tile.width)
            torch.bmm(q[mine], e_KWS.transpose(1, 2), out=s_KMW)
            if tile.empty is not None:
                s_KMW.masked_fill_(tile.empty, NEVER)
            top = s_KMW.amax(-1, keepdim=True)
            s_KMW.sub_(top).exp_()
            sums = s_KMW.sum(-1, keepdim=True)
            torch.bmm(s_KMW, e_KWS, out=out[mine])
            out[mine].div_(sums)
            total[mine] = sums.log_().add_(top)[..., 0]
        ctx.layout = layout
        ctx.save_for_backward(q, events, out, total)
        return out, total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor, None]:
        q, events, out, total = ctx.saved_tensors
        layout: Layout = ctx.layout
        d_out, d_total = grads
        many = q.shape[1]
        shift = ((d_out * out).sum(-1) - d_total)[..., None]
        # One product with [do ; q] gives do E' and q E', one with [q ; do] takes dS and P back.
        both = torch.cat([d_out, q, d_out], 1)
        d_q, d_events = torch.empty_like(q), torch.empty_like(events)
        scratch = _scratch(q, layout, 2)
        for tile in layout.tiles:
            mine, shape = tile.stretches, (tile.count, tile.width, events.shape[1])
            e_KWS = events[tile.places].view(shape)
            s_KMW = _cut(scratch, tile.count, 2 * many, tile.width)
            torch.bmm(both[mine, : 2 * many], e_KWS.transpose(1, 2), out=s_KMW)
            weight, d_score = s_KMW[:, many:], s_KMW[:, :many]
            if tile.empty is not None:
                weight.masked_fill_(tile.empty, NEVER)
            weight.sub_(total[mine, :, None]).exp_()
            d_score.sub_(shift[mine]).mul_(weight)
            torch.bmm(d_score, e_KWS, out=d_q[mine])
            d_e = d_events[tile.places].view(shape)
            torch.bmm(s_KMW.transpose(1, 2), both[mine, many:], out=d_e)
        return d_q, d_events, None


def _scratch(q: Tensor, layout: Layout, times: int) -> Tensor:
    """Room for the scores of any one tile: one buffer, so that it stays in the cache."""
    most = max((tile.count * tile.width for tile in layout.tiles), default=0)
    return q.new_empty(times * q.shape[1] * most)


def _cut(scratch: Tensor, *shape: int) -> Tensor:
    count, many, width = shape
    return scratch[: count * many * width].view(shape)


@left_alone  # layouts differ from batch to batch: nothing to compile once
def attend(
    q_BMS: Tensor, null_BM: Tensor | None, events_PS: Tensor, layout: Layout
) -> tuple[Tensor, Tensor]:
    """What each row's queries read from its events ``[P, S]``, which lie as ``layout`` says.

    ``null_BM``: scores of an item of no event, read beside the events. Returns ``[B, M, S]``
    (without that item's part) and the weight ``[B, M]`` that fell on it; without one, that weight
    is 1 for rows without events and 0 for others.
    """
    q_BMS = q_BMS.to(events_PS.dtype)  # autocast leaves events as they are
    q_KMS = q_BMS.index_select(0, layout.rows)
    o_KMS, z_KM = _Stretches.apply(q_KMS, events_PS, layout)  # type: ignore[no-untyped-call]
    return joined(o_KMS, z_KM, null_BM, layout.rows, len(q_BMS))


def joined(
    o_KMS: Tensor, z_KM: Tensor, null_BM: Tensor | None, rows: Tensor, count: int
) -> tuple[Tensor, Tensor]:
    """What :func:`attend` returns, from what stretches of rows read on their own.

    Args:
        o_KMS: weighted sum of each stretch's events.
        z_KM: logarithm of each stretch's sum of exponents.
        null_BM: score of the null item; None: there is none.
        rows: int64 ``[K]``, the row of each stretch.
        count: B: how many rows.
    """
    shape = (count, *z_KM.shape[1:])
    top = z_KM.new_full(shape, NEVER) if null_BM is None else null_BM.detach().to(z_KM.dtype)
    # The largest exponent of each row, so that none overflows.
    top = top.scatter_reduce(0, rows[:, None].expand_as(z_KM), z_KM.detach(), "amax")
    top = top.masked_fill(top == NEVER, 0)
    sums = torch.zeros_like(top).index_add(0, rows, (z_KM - top[rows]).exp())
    null_weight = (sums == 0).to(sums) if null_BM is None else (null_BM - top).exp()
    sums = sums + null_weight
    share_KM = (z_KM - (top + sums.log())[rows]).exp()
    read = z_KM.new_zeros(*shape, o_KMS.shape[-1])
    return read.index_add(0, rows, o_KMS * share_KM[..., None]), null_weight / sums
