"""The training worker, of which one process kills itself (SIGKILL) in the first attempt.

HEMIX_TEST_KILL is ``RANK:STEPS``: the process of that rank dies after so many steps.
"""

from __future__ import annotations

import os
import signal
from typing import Any

from torch import Tensor

from hemix.components.train.worker import main
from hemix.models.training.trainer import Trainer


def arm(rank: int, steps: int) -> None:
    if os.environ["TORCHELASTIC_RESTART_COUNT"] != "0" or int(os.environ["RANK"]) != rank:
        return
    step, taken = Trainer._step, 0

    def deadly(self: Trainer, batch: Any) -> Tensor:
        nonlocal taken
        if taken == steps:
            os.kill(os.getpid(), signal.SIGKILL)
        taken += 1
        return step(self, batch)

    Trainer._step = deadly  # type: ignore[method-assign]


if __name__ == "__main__":
    rank, _, steps = os.environ["HEMIX_TEST_KILL"].partition(":")
    arm(int(rank), int(steps))
    main()
