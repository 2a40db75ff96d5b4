"""redis as the StatefulSet starts it: its own command and configuration, on a real redis-server."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import yaml

from tests.infra.tools import need

BASE = Path(__file__).parents[2] / "infra" / "kustomize" / "base"
PASSWORD = "a word with spaces and a $sign"


def _start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    documents = yaml.safe_load_all((BASE / "redis.yaml").read_text())
    pod = next(d for d in documents if d["kind"] == "StatefulSet")["spec"]["template"]["spec"]
    container = pod["containers"][0]
    settings = (BASE / "redis.conf").read_text()
    settings = settings.replace("port 6379", f"port {port}\nbind 127.0.0.1")
    (folder / "redis.conf").write_text(settings.replace("dir /data", f"dir {folder}"))
    script = container["args"][0].replace("/etc/redis/redis.conf", str(folder / "redis.conf"))
    memory = next(e["value"] for e in container["env"] if e["name"] == "MAXMEMORY")
    return subprocess.Popen(
        [*container["command"], script],
        env={"PATH": os.environ["PATH"], "MAXMEMORY": memory, "REDISCLI_AUTH": PASSWORD},
        stdout=subprocess.DEVNULL,
    )


def _connected(port: int, password: str | None) -> redis.Redis:
    client = redis.Redis(port=port, password=password, socket_timeout=5)
    end = time.monotonic() + 60
    while True:
        try:
            client.ping()
            return client
        except (redis.BusyLoadingError, redis.ConnectionError) as error:
            if isinstance(error, redis.AuthenticationError) or time.monotonic() > end:
                raise
            time.sleep(0.1)


@pytest.fixture
def port() -> int:
    need("redis-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
    return found


@pytest.fixture
def server(tmp_path: Path, port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = _start(tmp_path, port)
    yield process
    process.kill()
    process.wait()


def test_it_demands_the_password_and_shows_it_to_no_one(
    server: subprocess.Popen[bytes], port: int
) -> None:
    client = _connected(port, PASSWORD)
    with pytest.raises(redis.AuthenticationError):
        redis.Redis(port=port).ping()
    command = Path(f"/proc/{server.pid}/cmdline").read_bytes()
    assert command.startswith(b"redis-server")  # exec: it gets SIGTERM itself
    assert PASSWORD.encode() not in command
    assert client.config_get("maxmemory-policy") == {b"maxmemory-policy": b"noeviction"} or (
        client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    )


def test_what_was_written_outlives_a_restart(tmp_path: Path, port: int) -> None:
    first = _start(tmp_path, port)
    try:
        _connected(port, PASSWORD).hset("user:7", "clicks", "12")
        first.send_signal(signal.SIGTERM)
        assert first.wait(timeout=60) == 0
    finally:
        first.kill()
    second = _start(tmp_path, port)
    try:
        assert _connected(port, PASSWORD).hget("user:7", "clicks") == b"12"
    finally:
        second.kill()
        second.wait()
