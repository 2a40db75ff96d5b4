"""Attention over events: by the fused kernel on a GPU, by tiles everywhere else.

Axes: ``B`` rows, ``M`` queries of a row, ``T`` events of all rows, ``S`` width of events and
queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor
from torch.nn import functional as fn

from hemix.models.layers.attention import tiled
from hemix.models.layers.attention.events import Events
from hemix.models.layers.attention.layout import Layout, plan
from hemix.models.layers.compiling import left_alone, load_triton

SHARED = 101_376
"""Bytes of shared memory that a block of threads may have on consumer cards, 99 KiB; an A100 gives
166,912 (163 KiB), an H100 or H200 232,448 (227 KiB)."""
FLOAT32 = "tf32x3"
"""How the kernel multiplies float32: three products of TF32, on tensor cores. "ieee" is exact
float32 without tensor cores, and its backward pass spills far more registers; "tf32" is one product
with 10 bits of mantissa, which float32 training does not ask for."""


@dataclass(frozen=True, kw_only=True)
class Blocks:
    """What one program of the kernel keeps on the chip, and how it is compiled.

    ``queries`` and ``events`` at a time, of ``width`` (the next power of two of S); ``precision``
    of products of float32; ``shared``: bytes of shared memory that both directions stay within.
    """

    queries: int
    events: int
    width: int
    warps: int
    stages: int
    precision: str
    shared: int


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


def blocks_of(queries: int, width: int, kind: torch.dtype, shared: int) -> Blocks | None:
    """The kernel's blocks for M ``queries`` of ``width`` S; None where it does not run.

    A tensor core takes no fewer than 16 of anything; the most are those at which the compiler spills
    few registers or none. ``needed`` is an upper bound of what the compiler asks for the backward
    pass, the greater one. In 16 bits: the next events, those at hand in two orders, queries and
    gradients of outputs, scores, 1 KiB of barriers. In float32: events, and queries and gradients
    in two orders, each as two numbers of TF32. The tests hold it against the compiler.
    """
    size = kind.itemsize
    if not kind.is_floating_point or size not in (2, 4):
        return None
    most, side = max(16, _power(queries)), max(16, _power(width))
    if size == 2:
        many, events = min(most, _within(8192 // side, 64)), _within(8192 // side, 64)
        needed = 2 * side * (3 * events + 2 * many) + 4 * many * events + 1024
    else:
        many, events = min(most, _within(2048 // side, 32)), _within(4096 // side, 32)
        needed = 4 * side * (events + 8 * many) + 8 * many * events
    if needed > shared:
        return None
    return Blocks(
        queries=many,
        events=events,
        width=side,
        warps=8 if side >= 64 * size else 4,
        stages=2,
        precision=FLOAT32 if size == 4 else "ieee",
        shared=needed,
    )


def fits(queries: int, width: int, kind: torch.dtype, shared: int) -> bool:
    """Whether the kernel runs on ``queries`` of ``width`` where a block may have ``shared`` bytes."""
    return blocks_of(queries, width, kind, shared) is not None


def _power(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length()


def _within(size: int, most: int) -> int:
    return max(16, min(size, most))


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
    planned on the CPU, so that the GPU's work is waited for once a batch: offsets that the reader
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


@left_alone  # as the tiles
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
