"""What one program of the attention kernel keeps on the chip.

Axes: ``M`` queries of a row, ``S`` width of events and queries.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

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


def _power(size: int) -> int:
    """The next power of two."""
    return 1 << (size - 1).bit_length()


def _within(size: int, most: int) -> int:
    return max(16, min(size, most))
