"""Models in tests run on one thread: small tensors gain nothing from more, and parallel tests lose."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
