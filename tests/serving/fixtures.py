"""A real registry and feature store over the small run, and a real endpoint on loopback.

``tests/conftest.py`` makes these fixtures known to every test, so that all share one endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.serving.live import Endpoint, Workshop, start_endpoint
from tests.small import SmallRun


@pytest.fixture(scope="session")
def workshop(small_run: SmallRun) -> Workshop:
    """Three model versions and their feature repository, made once for all workers."""
    shop = Workshop(small_run.root / "serving", small_run)
    small_run.root.mkdir(parents=True, exist_ok=True)
    with FileLock(small_run.root / "serving.lock"):
        shop.make()
    return shop


@pytest.fixture(scope="session")
def endpoint(workshop: Workshop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """An endpoint with a champion and a challenger at 30 %; tests must leave them as they are."""
    root = tmp_path_factory.mktemp("endpoint")
    workshop.deploy(root, "v1")
    workshop.deploy(root, "v2", share=0.3)
    with start_endpoint(root) as running:
        yield running


@pytest.fixture
def deployed(workshop: Workshop, tmp_path: Path) -> Path:
    """A fresh folder with v1 as champion and v2 as challenger at 30 %."""
    workshop.deploy(tmp_path, "v1")
    workshop.deploy(tmp_path, "v2", share=0.3)
    return tmp_path
