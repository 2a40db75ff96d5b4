"""A KFP API server for each test, and a small pipeline to run on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pipelines.client.connection import Connection
from tests.kfp_server import KfpServer

TOKEN = "a-token"
Start = Callable[..., KfpServer]


@pytest.fixture(scope="session")
def swagger() -> Path:
    """The published interface of the API server, beside the repository."""
    shared = Path(__file__).resolve().parents[4] / "shared" / "kubernetes"
    if not shared.is_dir():
        pytest.skip("../shared/kubernetes is not on this machine")
    return shared / "kfp_api_swagger_2.17.0.json"


@pytest.fixture
def start(swagger: Path) -> Iterator[Start]:
    """Start a server with these properties; it stops with the test."""
    running: list[KfpServer] = []

    def call(**named: Any) -> KfpServer:
        server = KfpServer(swagger, tokens={TOKEN}, **named)
        running.append(server)
        return server.__enter__()

    yield call
    for server in running:
        server.__exit__(None, None, None)


@pytest.fixture
def kfp(start: Start) -> KfpServer:
    return start()


@pytest.fixture
def connection(kfp: KfpServer) -> Connection:
    return Connection(host=kfp.url, token=TOKEN)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> str:
    """IR YAML of a pipeline with a gate: what passes goes on, what fails is stopped."""
    from kfp import compiler

    from tests.pipelines.client.small import small

    path = tmp_path_factory.mktemp("small") / "small.yaml"
    compiler.Compiler().compile(small, package_path=str(path))
    return path.read_text()
