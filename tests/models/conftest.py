"""Models in tests run on one thread: small tensors gain nothing from more, and parallel tests lose.

Each test begins with the same seed, so that none depends on those before it.
"""

from __future__ import annotations

import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)
