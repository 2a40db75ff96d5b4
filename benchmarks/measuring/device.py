"""What a device reaches at best: the measured peaks that shares are taken of."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

CPU = torch.device("cpu")
MATMUL = {"cpu": 2048, "cuda": 8192}
"""Sides of the matrices whose product is a device's peak."""
COPY = {"cpu": 1 << 28, "cuda": 1 << 30}
"""Bytes of the tensor whose copy is a device's peak."""


def finish(device: torch.device) -> None:
    """Wait until a GPU has done what it was asked."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def best_time(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of the fastest of many times."""
    best = float("inf")
    for _ in range(20):
        finish(device)
        start = time.perf_counter()
        work()
        finish(device)
        best = min(best, time.perf_counter() - start)
    return best


def matmul_gflops(device: torch.device = CPU, precision: str = "float32") -> float:
    """The best of many products of two square matrices: what MFU is a share of."""
    size = MATMUL[device.type]
    a, b = torch.randn(2, size, size, device=device, dtype=getattr(torch, precision))
    return 2 * size**3 / best_time(device, lambda: a @ b) / 1e9


def copy_gb_per_s(device: torch.device = CPU) -> float:
    """The best of many copies of a large tensor, bytes read and written."""
    size = COPY[device.type]
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    return 2 * size / best_time(device, lambda: target.copy_(source)) / 1e9
