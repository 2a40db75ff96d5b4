"""The Triton kernels, run by Triton's interpreter on the CPU, equal the tiles."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hemix.models.layers.attention import reading, tiled
from hemix.models.layers.attention.blocks import SHARED, blocks_of
from hemix.models.layers.attention.events import Events

pytestmark = pytest.mark.slow


def test_kernels_equal_tiles_in_triton_s_interpreter() -> None:
    pytest.importorskip("triton", reason="Triton has wheels for Linux on x86-64 only")
    # The interpreter is chosen when Triton is first imported, which torch may have done here.
    checks = Path(__file__).with_name("kernel_checks.py")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(checks)],
        env={**os.environ, "TRITON_INTERPRET": "1", "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    assert "20 passed" in done.stdout


def test_the_kernel_is_taken_on_a_gpu_when_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(reading, "fused", lambda *_: taken.append("fused"))
    monkeypatch.setattr(tiled, "attend", lambda *_: taken.append("tiles"))
    offsets = torch.tensor([0, 3, 4])
    for gpu in (False, True):
        monkeypatch.setattr(reading, "available", lambda _, gpu=gpu: gpu)
        assert (reading.layout_of(offsets, 32) is None) == gpu
        for width, kind in ((8, torch.float32), (2000, torch.float32), (8, torch.float64)):
            events = Events(values=torch.zeros(4, width, dtype=kind), offsets=offsets)
            reading.attend(torch.zeros(2, 4000, width, dtype=kind), None, events)
    assert taken == ["tiles"] * 3 + ["fused", "tiles", "tiles"]


def test_autocast_says_what_the_kernel_computes_in(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def fits(queries: int, width: int, kind: torch.dtype, shared: int) -> bool:
        asked.append((queries, width, kind, shared))
        return False

    monkeypatch.setattr(reading, "available", lambda _: True)
    monkeypatch.setattr(reading, "fits", fits)
    for kind in (torch.float32, torch.float64):
        events = Events(values=torch.randn(4, 8, dtype=kind), offsets=torch.tensor([0, 3, 4]))
        with torch.autocast("cpu", dtype=torch.bfloat16):
            reading.attend(torch.randn(2, 3, 8, dtype=kind), None, events)
    assert asked == [(3, 8, k, SHARED) for k in (torch.bfloat16, torch.float64)]


CARDS = {"H100": 232_448, "A100": 166_912, "consumer": SHARED, "48 KiB": 49_152}


@pytest.mark.parametrize(
    ("kind", "width", "cards"),
    [
        (torch.bfloat16, 96, "H100 A100 consumer"),
        (torch.bfloat16, 512, "H100 A100 consumer"),
        (torch.bfloat16, 1024, "H100 A100"),
        (torch.bfloat16, 1025, ""),
        (torch.float16, 24, "H100 A100 consumer 48 KiB"),
        (torch.float32, 24, "H100 A100 consumer 48 KiB"),
        (torch.float32, 128, "H100 A100 consumer"),
        (torch.float32, 256, "H100 A100"),
        (torch.float32, 512, ""),
        (torch.float64, 8, ""),
        (torch.int32, 8, ""),
    ],
)
def test_what_fits_depends_on_the_card(kind: torch.dtype, width: int, cards: str) -> None:
    for many in (1, 16, 160, 4000):
        found = [card for card, shared in CARDS.items() if reading.fits(many, width, kind, shared)]
        assert " ".join(found) == cards


def test_blocks_hold_the_queries_or_split_them() -> None:
    def blocks(many: int, width: int, kind: torch.dtype) -> tuple[int, int, int]:
        found = blocks_of(many, width, kind, SHARED)
        assert found is not None
        assert found.shared <= SHARED
        return found.queries, found.events, found.width

    assert blocks(17, 24, torch.bfloat16) == (32, 64, 32)
    assert blocks(160, 256, torch.bfloat16) == (32, 32, 256)  # large_1b: five blocks
    assert blocks(1, 5, torch.float32) == (16, 32, 16)
    assert blocks(160, 128, torch.float32) == (16, 32, 128)


@pytest.mark.parametrize(
    ("many", "width", "kind", "arch"),
    [
        (16, 96, "bf16", 90),
        (64, 128, "bf16", 90),
        (160, 256, "bf16", 80),
        (16, 24, "fp32", 80),
    ],
)
def test_compiled_kernels_stay_within_the_shared_memory_assumed(
    many: int, width: int, kind: str, arch: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    compiler = _compiler()
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from hemix.models.layers.attention import kernels

    dtype = {"bf16": torch.bfloat16, "fp32": torch.float32}[kind]
    blocks = blocks_of(many, width, dtype, SHARED)
    assert blocks is not None
    options = kernels.options(blocks)
    how = {name: options.pop(name) for name in ("num_warps", "num_stages")}
    for kernel in (kernels._forward, kernels._backward):
        constants = {**options, "MORE": many > blocks.queries}
        types = {"offsets_ptr": "*i64", "total_ptr": "*fp32", "shift_ptr": "*fp32"}
        if many > blocks.queries:
            types["d_events_ptr"] = "*fp32"
        signature, at, aligned = {}, {}, {}
        for number, name in enumerate(kernel.arg_names):
            if name in constants:
                signature[name], at[number,] = "constexpr", constants[name]
            else:
                plain = f"*{kind}" if name.endswith("_ptr") else "i32"
                signature[name] = types.get(name, plain)
                if name.endswith("_ptr") or (name == "S" and width % 16 == 0):
                    aligned[number,] = [["tt.divisibility", 16]]  # as torch's memory is
        source = compiler.ASTSource(kernel, signature, at, aligned)
        target = compiler.GPUTarget("cuda", arch, 32)
        done = compiler.compile(source, target=target, options=how)
        assert done.metadata.shared <= blocks.shared
        assert "mma" in done.asm["ptx"]  # tensor cores, float32 too


def _compiler() -> Any:
    """Triton's compiler for NVIDIA's cards, which needs no card; skips where there is none."""
    triton = pytest.importorskip("triton", reason="Triton has wheels for Linux on x86-64 only")
    if os.environ.get("TRITON_INTERPRET"):
        pytest.skip("Triton interprets here")
    from triton.backends import backends
    from triton.backends import compiler as targets
    from triton.compiler import ASTSource

    if "nvidia" not in backends:
        pytest.skip("this Triton has no compiler for NVIDIA's cards")
    return SimpleNamespace(ASTSource=ASTSource, GPUTarget=targets.GPUTarget, compile=triton.compile)
