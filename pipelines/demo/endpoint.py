"""A served endpoint for as long as a block lasts."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
from rich.console import Console
from rich.text import Text

from hemix.errors import EnvironmentProblem
from hemix.pipelines.local.folder import RunFolder

_START_S = 300.0
_STOP_S = 20.0


@dataclass(frozen=True)
class Endpoint:
    """Where an endpoint listens: ``http://host:port`` and ``host:port``."""

    http: str
    grpc: str


@contextlib.contextmanager
def running_endpoint(
    folder: RunFolder, console: Console, options: Sequence[str] = ()
) -> Iterator[Endpoint]:
    """Start ``hemix serve`` on free ports in its own process; stop it when the block ends.

    Args:
        folder: output of a run, whose registry is served.
        console: where its address is shown.
        options: further options of ``hemix serve``; a ``--models`` among them replaces the folder's.

    Raises:
        EnvironmentProblem: it did not come up; the message holds its last words.
    """
    log = folder.root / "logs" / "serve.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "hemix", "serve", "--models", folder.location]
    with log.open("w") as output:
        process = subprocess.Popen(
            [*command, "--port", "0", "--grpc-port", "0", *options],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
        )
    try:
        endpoint = _await(process, log)
        console.print(
            Text(f"Serving on {endpoint.http} (gRPC {endpoint.grpc}); log: {log}"), soft_wrap=True
        )
        yield endpoint
    finally:
        process.terminate()
        try:
            process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        console.print(Text("The endpoint is stopped."))


def _await(process: subprocess.Popen[str], log: Path) -> Endpoint:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        text = log.read_text(errors="replace")
        if process.poll() is not None:
            break
        http = re.search(r"(http://\S+)/v1/models", text)
        grpc = re.search(r"gRPC (\S+:\d+)", text)
        if http and grpc and _ready(http[1]):
            return Endpoint(http=http[1], grpc=grpc[1])
        time.sleep(0.2)
    last = " | ".join(log.read_text(errors="replace").strip().splitlines()[-3:])
    raise EnvironmentProblem(f"The endpoint did not start: {last}", hint=f"Its log is {log}.")


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/v2/health/ready", timeout=2).status_code == 200
    except httpx.TransportError:
        return False
