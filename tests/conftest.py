"""Fixtures shared by all tests: the small run (see ``tests/small.py``)."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from hemix.features.definition import DatasetDefinition
from tests import cluster, s3, workers
from tests.serving.fixtures import deployed, endpoint, workshop  # noqa: F401
from tests.small import SmallRun

if TYPE_CHECKING:
    from xdist.remote import Producer

with contextlib.suppress(ImportError):  # before TensorFlow, which tests may import themselves
    import triton  # noqa: F401

if os.environ.get("PYTEST_XDIST_WORKER"):
    workers.know_own_stack()

settings.register_profile("any machine", deadline=None)  # no test asserts a time
settings.load_profile("any machine")


SERVICES = {
    *("api_server", "bucket", "crd_kubeconfig", "kfp", "online_store", "postgres_server"),
    *("redis_server", "s3_endpoint", "server", "start", "stored"),
}
"""Fixtures that start a server: Redis, PostgreSQL, S3, an API server of Kubernetes or of KFP."""
SLOW = {"endpoint", "fitted", "hotels", "installed", "small_run", "workshop"}
"""Fixtures that run the real steps, fit a transform, build a wheel or start an endpoint."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server or the real steps, by the fixtures it asks for."""
    for item in items:
        needs = set(getattr(item, "fixturenames", ()))
        if needs & SERVICES:
            item.add_marker("services")
        if needs & SLOW:
            item.add_marker("slow")
    if os.environ.get("PYTEST_XDIST_WORKER"):
        workers.longest_first(items)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> workers.ByFile | None:
    return workers.ByFile(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """Artifacts of the real steps over 400 users of the shipped log, made when asked for."""
    base = tmp_path_factory.getbasetemp()
    root = base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base
    return SmallRun(root / "small-run")


@pytest.fixture(scope="session")
def small_definition(small_run: SmallRun) -> DatasetDefinition:
    return small_run.definition


@pytest.fixture(scope="session")
def small_events(small_run: SmallRun) -> Path:
    return small_run.events


@pytest.fixture(scope="session")
def small_examples(small_run: SmallRun) -> Path:
    return small_run.examples


@pytest.fixture(scope="session")
def small_transformed(small_run: SmallRun) -> Path:
    return small_run.transformed


@pytest.fixture(scope="session")
def small_transform(small_run: SmallRun) -> Path:
    return small_run.transform


@pytest.fixture(scope="session")
def small_model(small_run: SmallRun) -> Path:
    return small_run.model


@pytest.fixture(scope="session")
def small_evaluation(small_run: SmallRun) -> Path:
    return small_run.evaluation


@pytest.fixture(scope="session")
def small_repository(small_run: SmallRun) -> Path:
    return small_run.repository


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of data sets beside the repository; tests that need it skip where it is absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the data sets of ../shared/data are not on this machine")
    return folder


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """Address of an S3 server of our own (moto)."""
    with s3.s3_endpoint() as address:
        yield address


@pytest.fixture
def bucket(s3_endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """``s3://BUCKET`` of a new bucket; the environment points to it, the cache is empty."""
    for name, value in s3.environment(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HEMIX_CACHE", str(tmp_path / "hemix-cache"))
    name = f"test-{uuid.uuid4().hex[:12]}"
    s3.make_bucket(s3_endpoint, name)
    return f"s3://{name}"


@pytest.fixture(scope="session")
def crd_kubeconfig(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kubeconfig of a real API server for custom resources; every namespace exists there."""
    base = tmp_path_factory.getbasetemp()
    return cluster.crd_server(base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base)
