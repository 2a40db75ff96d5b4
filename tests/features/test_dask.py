"""Beam's Dask runner: a real scheduler and two worker processes give build_examples the same bytes."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hemix.components.build_examples import step as build_step
from hemix.errors import DefinitionError, EnvironmentProblem
from hemix.features.beam.options import beam_options
from hemix.features.beam.runner_config import DASK, runner_flags
from hemix.features.definition import DatasetDefinition
from hemix.files import sha256_folder

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def _cluster(folder: Path, workers: int = 2) -> Iterator[str]:
    """Address of a scheduler with workers, each a process with another seed of hashes."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"127.0.0.1:{port}"
    running: list[subprocess.Popen[bytes]] = []

    def start(name: str, *words: str, seed: str = "0") -> None:
        log = (folder / f"{name}.log").open("wb")
        command = [sys.executable, "-m", *words]
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed}
        running.append(subprocess.Popen(command, cwd=folder, env=env, stdout=log, stderr=log))

    local = ("--host", "127.0.0.1", "--no-dashboard")
    start("scheduler", "distributed.cli.dask_scheduler", *local, "--port", str(port))
    one = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--death-timeout", "120")
    for number in range(workers):
        words = ("distributed.cli.dask_worker", f"tcp://{address}", *one)
        start(f"worker-{number}", *words, seed=str(number + 1))
    try:
        until = time.monotonic() + 120
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert time.monotonic() < until, (folder / "scheduler.log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(30)


@pytest.mark.slow
def test_two_workers_give_the_same_bytes(
    small_definition: DatasetDefinition, small_events: Path, small_examples: Path, tmp_path: Path
) -> None:
    pytest.importorskip("distributed")
    with _cluster(tmp_path) as address:
        build_step.run(
            definition=small_definition,
            events=small_events,
            out_examples=tmp_path / "examples",
            runner_options=[f"{{runner: dask, scheduler: '{address}'}}"],
        )
    assert sha256_folder(tmp_path / "examples") == sha256_folder(small_examples)


def test_it_does_for_one_step_alone() -> None:
    flags = runner_flags("{runner: dask, scheduler: 'dask:8786'}")
    assert flags == (f"--runner={DASK}", "--dask_client_address=tcp://dask:8786")
    with pytest.raises(DefinitionError, match="computes only what the last"):
        beam_options(flags)
    with pytest.raises(DefinitionError, match="needs --dask_client_address"):
        beam_options([f"--runner={DASK}"], one_end=True)
    with pytest.raises(EnvironmentProblem, match="No Dask scheduler listens at 127"):
        beam_options(["{runner: dask, scheduler: '127.0.0.1:1'}"], one_end=True)
