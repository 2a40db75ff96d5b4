"""Attention over events: by the fused kernel on a GPU, by tiles everywhere else."""

from __future__ import annotations

from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional as fn

from models.attention import tiled
from models.attention.events import Events
from models.attention.layout import Layout, plan

ROOM = 16_384
"""Queries times their width that one program of the kernel keeps on the chip."""


def available(device: torch.device) -> bool:
    """Whether there is a GPU, and Triton (which torch for CUDA brings along)."""
    return device.type == "cuda" and find_spec("triton") is not None


def fits(queries: int, width: int) -> bool:
    """Whether one program can keep ``queries`` of ``width``, both rounded up as it does."""
    sides = (max(16, 1 << (size - 1).bit_length()) for size in (queries, width))
    return next(sides) * next(sides) <= ROOM


def layout_of(offsets: Tensor, event_bytes: int) -> Layout | None:
    """How events should lie before they are looked up: None for row after row.

    A single row is read by :func:`attend_one`, or by the keys and values of its events.
    """
    if len(offsets) == 2 or available(offsets.device):
        return None
    return plan(offsets, event_bytes=event_bytes)


def attend(q_BMS: Tensor, null_BM: Tensor | None, events: Events) -> tuple[Tensor, Tensor]:
    """As :func:`models.attention.tiled.attend`."""
    values, layout = events.values, events.layout
    if layout is None and available(values.device) and fits(*q_BMS.shape[1:]):
        return fused(q_BMS, null_BM, values, events.offsets)
    if layout is None:
        layout = plan(events.offsets, event_bytes=values.shape[1] * values.element_size())
        values = values.index_select(0, layout.order)
    return tiled.attend(q_BMS, null_BM, values, layout)


def attend_one(q_MS: Tensor, null: bool, events_TS: Tensor) -> Tensor:
    """Many queries of one row, by torch's own fused attention: ``[M, S + 1]``.

    The last column is the weight of the null item. With ``null`` it is one more event, a unit
    vector of an axis of its own, and the queries have its scores as column ``S``.
    """
    if null:
        events = fn.pad(events_TS, (0, 1, 1, 0))
        events[0, -1] = 1
    elif len(events_TS):
        events = events_TS
    else:
        return fn.pad(torch.zeros_like(q_MS), (0, 1), value=1.0)
    q, keys = q_MS.to(events.dtype)[None, None], events[None, None]
    read = fn.scaled_dot_product_attention(q, keys, keys, scale=1.0)[0, 0]
    return read if null else fn.pad(read, (0, 1))


def fused(
    q_BMS: Tensor, null_BM: Tensor | None, events_TS: Tensor, offsets: Tensor
) -> tuple[Tensor, Tensor]:
    """By the kernel, of events ``[T, S]`` that lie row after row."""
    from models.attention.kernels import Fused

    device = events_TS.device.type
    kind = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else q_BMS.dtype
    q_BMS, events_TS = q_BMS.to(kind), events_TS.to(kind)
    out, total = Fused.apply(q_BMS, events_TS, offsets)  # type: ignore[no-untyped-call]
    rows = torch.arange(len(q_BMS), device=offsets.device)
    return tiled.joined(out, total, null_BM, rows, len(q_BMS))
