"""Attention over events: by the fused kernel on a GPU, by tiles everywhere else.

Axes: ``B`` rows, ``M`` queries of a row, ``T`` events of all rows, ``S`` width of events and
queries.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional as fn

from hemix.models.layers.attention import tiled
from hemix.models.layers.attention.blocks import SHARED, blocks_of
from hemix.models.layers.attention.events import Events
from hemix.models.layers.attention.layout import Layout, plan
from hemix.models.layers.compiling import left_alone, load_triton


def available(device: torch.device) -> bool:
    """Whether there is a GPU with bfloat16 (Ampere or later), and Triton, which torch for CUDA
    brings along."""
    return device.type == "cuda" and find_spec("triton") is not None and _card(device)[0] >= 8


def shared_limit(device: torch.device) -> int:
    """Bytes of shared memory that a program may have; without a GPU those of a consumer card."""
    return _card(device)[1] if device.type == "cuda" else SHARED


@cache
def _card(device: torch.device) -> tuple[int, int]:
    """Major compute capability (0 if it is not NVIDIA's), and shared memory of a block in bytes."""
    card = torch.cuda.get_device_properties(device)
    major = card.major if torch.version.cuda is not None else 0
    return major, getattr(card, "shared_memory_per_block_optin", 48 * 1024)


def fits(queries: int, width: int, kind: torch.dtype, shared: int) -> bool:
    """Whether the kernel runs on ``queries`` of ``width`` where a block may have ``shared`` bytes."""
    return blocks_of(queries, width, kind, shared) is not None


def layout_of(offsets: Tensor, event_bytes: int) -> Layout | None:
    """How events should lie before they are looked up: None for row after row.

    A single row is read by :func:`attend_one`, or by the keys and values of its events.
    """
    if len(offsets) == 2 or available(offsets.device):
        return None
    return plan(offsets, event_bytes=event_bytes)


def attend(q_BMS: Tensor, null_BM: Tensor | None, events: Events) -> tuple[Tensor, Tensor]:
    """As :func:`hemix.models.layers.attention.tiled.attend`.

    On a GPU, what the kernel does not run (float64, very wide events) goes by tiles too. They are
    planned on the CPU, so that the GPU's work is waited for once per batch: offsets that the reader
    had on the CPU have been moved by then.
    """
    values, layout = events.values, events.layout
    if layout is None and available(values.device):
        many, width = q_BMS.shape[1:]
        if fits(many, width, _kind(q_BMS, values), shared_limit(values.device)):
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


@left_alone  # data-dependent shapes, as in tiled.attend
def fused(
    q_BMS: Tensor, null_BM: Tensor | None, events_TS: Tensor, offsets: Tensor
) -> tuple[Tensor, Tensor]:
    """By the kernel, of events ``[T, S]`` that lie row after row."""
    load_triton()
    from hemix.models.layers.attention.kernels import Fused

    kind = _kind(q_BMS, events_TS)
    many, width = q_BMS.shape[1:]
    blocks = blocks_of(many, width, kind, shared_limit(events_TS.device))
    assert blocks is not None, "does not fit: see fits"
    q_BMS, events_TS = q_BMS.to(kind), events_TS.to(kind)
    out, total = Fused.apply(q_BMS, events_TS, offsets, blocks)  # type: ignore[no-untyped-call]
    rows = torch.arange(len(q_BMS), device=offsets.device)
    return tiled.joined(out, total, null_BM, rows, len(q_BMS))


def _kind(q: Tensor, events: Tensor) -> torch.dtype:
    """What the kernel computes in: autocast's choice, else the wider of both."""
    kind, device = torch.promote_types(q.dtype, events.dtype), events.device.type
    if kind == torch.float64 or not torch.is_autocast_enabled(device):
        return kind
    return torch.get_autocast_dtype(device)
