"""TensorFlow starts without a word that is no matter, and swallows no other."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import pytest

pytestmark = pytest.mark.slow


def test_only_notes_are_held_back_and_triton_comes_after() -> None:
    """In a process that begins as serving does."""
    program = (
        "import os\n"
        "from importlib.util import find_spec\n"
        "from hemix.features.transform import engine\n"
        "from hemix.serving.launch.process import limit_threads\n"
        "with engine._quietly():\n"
        "    os.write(2, b'I0000 00:00:17.5 1 x.cc:1] note\\nE0000 00:00:17.5 1 x.cc:1] error\\nown\\n')\n"
        "limit_threads(1)\n"
        "if find_spec('triton'):\n"
        "    import triton\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == "E0000 00:00:17.5 1 x.cc:1] error\nown\n"


def test_no_order_of_imports_aborts_a_process() -> None:
    """What a notebook may have done before it comes to us; what serving does is above."""
    code = (
        "import tensorflow; from hemix.features.transform.engine import tensorflow as ours; ours()"
    )
    if find_spec("triton") is None:
        pytest.skip("triton is not installed")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
