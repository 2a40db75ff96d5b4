"""A KFP API server for each test, and a small pipeline to run on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hemix.cli.main import main
from hemix.pipelines.compiler.cluster_settings import ClusterSettings
from hemix.pipelines.compiler.compiler import compiled
from hemix.pipelines.kfp_client.api import PipelinesApi
from hemix.pipelines.kfp_client.connection import Connection
from hemix.pipelines.kfp_client.schedules import ScheduleRequest
from hemix.pipelines.kfp_client.triggers import Trigger, cron
from tests.kfp_server import KfpServer

TOKEN = "a-token"
Start = Callable[..., KfpServer]
Told = tuple[int, str, str]
Hemix = Callable[..., Told]
TEXTS: dict[tuple[str, str], str] = {}


def compiled_once(name: str, settings: ClusterSettings) -> str:
    """The real compiler, asked once for each pipeline and settings: it takes seconds."""
    key = (name, settings.model_dump_json())
    if key not in TEXTS:
        TEXTS[key] = compiled(name, settings)
    return TEXTS[key]


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


@pytest.fixture
def api(connection: Connection) -> PipelinesApi:
    return PipelinesApi(connection)


@pytest.fixture
def nightly(small: str) -> ScheduleRequest:
    """The small pipeline, every night at three."""
    return ScheduleRequest(
        name="nightly",
        pipeline="small",
        compiled=small,
        parameters={"day": "x"},
        trigger=Trigger(cron=cron("0 3 * * *")),
    )


@pytest.fixture
def no_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that may be asked for again is not."""
    monkeypatch.setattr("hemix.pipelines.kfp_client.api._WAITS_S", ())


@pytest.fixture
def hemix(
    kfp: KfpServer,
    no_waits: None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Hemix:
    """The command in this process: exit code, stdout, stderr."""
    monkeypatch.setattr("hemix.pipelines.kfp_client.compiled.compiled", compiled_once)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("HEMIX_KFP_HOST", kfp.url)
    monkeypatch.setenv("HEMIX_KFP_TOKEN", TOKEN)
    monkeypatch.setenv("HEMIX_KFP_NAMESPACE", "hemix")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.delenv("HEMIX_DEBUG", raising=False)
    monkeypatch.delenv("HEMIX_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str) -> Told:
        monkeypatch.setattr(sys, "argv", ["hemix", *arguments])
        code: object = 0
        try:
            main()
        except SystemExit as ended:
            code = ended.code or 0
        told = capsys.readouterr()
        assert isinstance(code, int)
        return code, told.out, told.err

    return call
