"""Toy trainings in several processes that gloo joins, without torchrun's start-up.

A fork server imports torch once; the processes are its forks.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import socket
from pathlib import Path

import torch

from hemix.models.data.toy import toy_spec
from hemix.models.training.distributed import joined
from hemix.models.training.recipes import Recipe
from hemix.models.training.trainer import Trainer

LIMIT_S = 240


def train_in(size: int, data: Path, checkpoints: Path, recipe: Recipe, *, end_at: int = 0) -> None:
    """Train in ``size`` processes; with ``end_at`` all of them stop after so many steps."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.models.training.ranks"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [
        context.Process(target=_rank, args=(rank, size, port, data, checkpoints, recipe, end_at))
        for rank in range(size)
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(LIMIT_S)
        assert [process.exitcode for process in processes] == [0] * size
    finally:
        for process in processes:
            process.kill()
            process.join()


class _Ended(Exception):
    pass


def run_until(trainer: Trainer, end_at: int = 0) -> None:
    """Run a trainer; with ``end_at`` for so many steps (its recipe leaves a checkpoint a step)."""
    step, taken = trainer._step, 0

    def until(batch: object) -> torch.Tensor:
        nonlocal taken
        if end_at and taken == end_at:
            raise _Ended
        taken += 1
        return step(batch)

    trainer._step = until  # type: ignore[method-assign]
    with contextlib.suppress(_Ended):
        trainer.run()


def _rank(
    rank: int, size: int, port: int, data: Path, checkpoints: Path, recipe: Recipe, end_at: int
) -> None:
    import os

    torch.set_num_threads(1)
    os.environ |= {
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(size),
        "LOCAL_WORLD_SIZE": str(size),
    }
    with joined() as world:
        folders = data / "train", data / "validation"
        run_until(Trainer(recipe, toy_spec(), *folders, checkpoints, world=world), end_at)
