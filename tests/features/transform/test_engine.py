"""TensorFlow starts without a word that is no matter, and swallows no other."""

from __future__ import annotations

import subprocess
import sys


def test_only_notes_are_held_back() -> None:
    program = (
        "import os\n"
        "from features.transform import engine\n"
        "with engine._quietly():\n"
        "    os.write(2, b'I0000 00:00:17.5 1 x.cc:1] note\\nE0000 00:00:17.5 1 x.cc:1] error\\nown\\n')\n"
        "engine.tensorflow()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stderr == "E0000 00:00:17.5 1 x.cc:1] error\nown\n"
