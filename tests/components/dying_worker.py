"""A process of a training that the system kills at once, as one that takes too much memory: rank 0."""

from __future__ import annotations

import os
import signal
import time

if __name__ == "__main__":
    if os.environ["RANK"] == "0":
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(60)  # ended by torchrun, with the others
