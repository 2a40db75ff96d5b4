"""The Triton kernels, run by Triton's interpreter on the CPU, equal the tiles."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from models.attention import reading, tiled
from models.attention.events import Events


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
    assert "14 passed" in done.stdout


def test_the_kernel_is_taken_on_a_gpu_when_queries_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = []
    monkeypatch.setattr(reading, "fused", lambda *_: taken.append("fused"))
    monkeypatch.setattr(tiled, "attend", lambda *_: taken.append("tiles"))
    events = Events(values=torch.zeros(4, 8), offsets=torch.tensor([0, 3, 4]))
    for gpu in (False, True):
        monkeypatch.setattr(reading, "available", lambda _, gpu=gpu: gpu)
        assert (reading.layout_of(events.offsets, 32) is None) == gpu
        for many in (4, 4000):
            reading.attend(torch.zeros(2, many, 8), None, events)
    assert taken == ["tiles", "tiles", "fused", "tiles"]
    assert reading.fits(64, 256)
    assert not reading.fits(65, 256)
