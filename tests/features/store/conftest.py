"""Fixtures of the feature store tests: each runs once with sqlite and once with a real redis."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.store import build_repository
from tests.features.store import data


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A redis of our own on a free loopback port; its ``redis://`` address."""
    binary = shutil.which("redis-server")
    if binary is None:
        pytest.skip("redis-server is not on PATH")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("redis")
    command = [
        binary,
        "--port",
        str(port),
        "--bind",
        "127.0.0.1",
        "--save",
        "",
        "--dir",
        str(folder),
    ]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"redis://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(10)


@pytest.fixture(scope="session", params=["sqlite", "redis"])
def online_store(request: pytest.FixtureRequest) -> str:
    """The setting of an online store."""
    if request.param == "sqlite":
        return "sqlite"
    return f"{request.getfixturevalue('redis_server')}/0"


@pytest.fixture(scope="session")
def repository(online_store: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of the tiny log with service ``ranker_v1``; do not write to it."""
    folder = tmp_path_factory.mktemp("store")
    events, state = data.write_log(folder)
    build_repository(
        data.definition(),
        data.TYPES,
        events,
        state,
        data.AS_OF,
        "ranker_v1",
        folder / "repository",
        online_store=online_store,
    )
    return folder / "repository"
