"""A job service and an external worker pool of two processes, here, while a block runs."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
START_S = 120
WORKERS = 2


@contextlib.contextmanager
def portable_runner(folder: Path) -> Iterator[str]:
    """Runner configuration (YAML) of a job service whose workers the pool starts.

    Both end with the block, and the workers with them. ``folder`` gets their logs.
    """
    pool_port = _free_port()
    port_file = folder / "job-service.port"
    port_file.unlink(missing_ok=True)
    pool = ["apache_beam.runners.worker.worker_pool_main", "--service_port", str(pool_port)]
    service = ["tests.features.job_service", str(WORKERS), "--port_file", str(port_file)]
    with _running(folder / "pool.log", pool), _running(folder / "service.log", service) as process:
        until = time.monotonic() + START_S
        while not (_listening(pool_port) and port_file.exists() and port_file.read_text()):
            assert process.poll() is None, (folder / "service.log").read_text()
            assert time.monotonic() < until, "the job service or the worker pool did not start"
            time.sleep(0.2)
        yield (
            f"{{runner: portable, job_endpoint: 'localhost:{port_file.read_text().strip()}', "
            f"environment: EXTERNAL, environment_config: 'localhost:{pool_port}'}}"
        )


@contextlib.contextmanager
def _running(log: Path, module: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    # The pool starts "python": without the environment first on PATH that is another one, whose
    # workers end at once, and the job waits for them for ever.
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *module],
            cwd=ROOT,
            env={**os.environ, "PATH": path, "TF_CPP_MIN_LOG_LEVEL": "2"},
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        yield process
    finally:
        everyone = [process, *psutil.Process(process.pid).children(recursive=True)]
        for one in everyone:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        for one in everyone:
            one.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _listening(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
