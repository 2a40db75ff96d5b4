"""Peak memory is the measured program's own."""

import subprocess
import sys

import pytest

from benchmarks.measuring.memory import peak_mb

MB = 2**20


@pytest.mark.slow
def test_peak_holds_what_was_freed() -> None:
    """What was held and given back still counts."""
    before = peak_mb()
    held = bytearray(int(before + 64) * MB)
    assert len(held)
    del held
    assert peak_mb() >= before + 64


def test_child_does_not_begin_at_its_parents_peak() -> None:
    """A small program that a large one starts is small."""
    held = bytearray(256 * MB)
    code = "from benchmarks.measuring.memory import peak_mb; print(peak_mb())"
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert peak_mb() >= 256
    assert 0 < float(child.stdout) < 128
    assert len(held)
