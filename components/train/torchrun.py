"""Training in several processes of this machine: torchrun's elastic agent, inside the step."""

from __future__ import annotations

import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager

from hemix.components.process import LAUNCHER
from hemix.components.train.worker import Work
from hemix.errors import EnvironmentProblem

WORKER = "hemix.components.train.worker"
OWN_STORE = {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
"""Every attempt meets over a store of its own. torchrun's shared one still has the addresses of the
attempt before, whose processes are gone: connections to them fail and cost a restart."""
RESTARTS = 3
"""How often all processes start again after one of them died."""


def run_processes(work: Work, processes: int, *, restarts: int | None = None) -> None:
    """Train in ``processes`` processes here, to the end; they end when this process does.

    ``restarts``: :data:`RESTARTS` when None.

    Raises:
        HemixError: the error that a process wrote.
        EnvironmentProblem: processes died more than ``restarts`` times.
    """
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    restarts = RESTARTS if restarts is None else restarts
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=processes,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=restarts,
        monitor_interval=0.2,
    )
    try:
        with _environment():
            elastic_launch(config, sys.executable)("-m", WORKER, work.model_dump_json())
        if failure := work.failure():
            raise failure
    except ChildFailedError as error:
        if failure := work.failure():
            raise failure from None
        # One that died by itself, rather than those that missed it.
        rank, dead = min(
            error.failures.items(), key=lambda item: item[1].exitcode in (1, -signal.SIGTERM)
        )
        raise EnvironmentProblem(
            f"Training processes died {restarts + 1} times; the last time the one of rank {rank} of "
            f"{processes} with exit code {dead.exitcode}.",
            hint="Its output is above. Exit code -9 is mostly too little memory: set "
            "training.processes lower. The same run again resumes from the checkpoint.",
        ) from error
    finally:
        work.clear()


@contextmanager
def _environment() -> Iterator[None]:
    """What the processes find: whom they end with, and the loopback device to meet on."""
    wanted = {LAUNCHER: str(os.getpid()), **OWN_STORE}
    if sys.platform == "linux":
        wanted |= {"GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo")}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
