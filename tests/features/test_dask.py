"""Beam's Dask runner: a real scheduler and two worker processes give build_examples the same bytes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hemix.components.build_examples import step as build_step
from hemix.components.process import ERROR_MARK, step_process
from hemix.errors import DataError, DefinitionError, EnvironmentProblem
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


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One for all tests here; both workers are there before the first job."""
    distributed = pytest.importorskip("distributed")
    with _cluster(tmp_path_factory.mktemp("dask")) as address:
        with distributed.Client(address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=120)
        yield address


def _options(address: str) -> list[str]:
    """More partitions than workers: Beam's own number is one, and one worker then does it all."""
    return [f"{{runner: dask, scheduler: '{address}', flags: [--dask_npartitions=8]}}"]


def _work_of(address: str) -> dict[str, int]:
    """Worker -> changes of state of its tasks."""
    import distributed

    with distributed.Client(address, set_as_default=False) as client:
        return client.run(lambda dask_worker: dask_worker.state.transition_counter)


@pytest.mark.slow
def test_two_workers_give_the_same_bytes(
    small_definition: DatasetDefinition,
    small_events: Path,
    small_examples: Path,
    tmp_path: Path,
    scheduler: str,
) -> None:
    """A key's group is in one place although each process has another hash of its text."""
    before = _work_of(scheduler)
    build_step.run(
        definition=small_definition,
        events=small_events,
        out_examples=tmp_path / "examples",
        runner_options=_options(scheduler),
    )
    after = _work_of(scheduler)
    assert len(after) == 2
    assert all(after[worker] > before[worker] for worker in after)
    assert sha256_folder(tmp_path / "examples") == sha256_folder(small_examples)


@pytest.mark.slow
def test_what_fails_on_a_worker_fails_the_step(
    small_definition: DatasetDefinition,
    small_events: Path,
    tmp_path: Path,
    scheduler: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One bundle of eight meets a damaged file, whose end is whole: only the worker reads its rows.

    The other worker may still write then: hidden scratch of its bundles can stay, never an output."""
    events = shutil.copytree(small_events, tmp_path / "events")
    damaged = sorted(events.glob("interactions/*/*.parquet"))[-1]
    data = damaged.read_bytes()
    damaged.write_bytes(data[:4] + bytes(len(data) // 3) + data[4 + len(data) // 3 :])
    with pytest.raises(SystemExit) as ended, step_process():
        build_step.run(
            definition=small_definition,
            events=events,
            out_examples=tmp_path / "examples",
            runner_options=_options(scheduler),
        )
    assert ended.value.code == DataError.exit_code
    told = json.loads(capsys.readouterr().out.rpartition(ERROR_MARK)[2])
    assert (told["type"], told["hint"]) == ("DataError", "Run ingest again.")
    assert told["message"].startswith(f"{damaged}: cannot read")
    left = {path.name for path in tmp_path.iterdir()} - {"events"}
    assert all(re.fullmatch(r"\.examples\..+\.(scratch|tmp)", name) for name in left)  # for `sweep`


def test_it_does_for_one_step_alone() -> None:
    flags = runner_flags("{runner: dask, scheduler: 'dask:8786'}")
    assert flags == (f"--runner={DASK}", "--dask_client_address=tcp://dask:8786")
    with pytest.raises(DefinitionError, match="computes only what the last"):
        beam_options(flags)
    with pytest.raises(DefinitionError, match="needs --dask_client_address"):
        beam_options([f"--runner={DASK}"], one_end=True)
    with pytest.raises(EnvironmentProblem, match="No Dask scheduler listens at 127"):
        beam_options(["{runner: dask, scheduler: '127.0.0.1:1'}"], one_end=True)
