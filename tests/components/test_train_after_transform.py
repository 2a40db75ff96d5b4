"""A process may read transforms with TensorFlow and train afterwards, as a warm start does."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
from hemix.features.transform.engine import tensorflow
tensorflow()
import torch
torch.use_deterministic_algorithms(True)
weight = torch.nn.Parameter(torch.zeros(2))
optimizer = torch.optim.AdamW([weight])
optimizer.zero_grad()
weight.sum().backward()
optimizer.step()
"""


@pytest.mark.slow
def test_torch_trains_after_tensorflow() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
