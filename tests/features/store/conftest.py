"""Fixtures of the feature store tests: each runs once with sqlite and once with a real redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hemix.features.store import build_repository
from hemix.features.store.settings import REDIS_PASSWORD
from tests.features.store import data
from tests.features.store.servers import PASSWORD, postgres, redis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A redis of our own, with a password, on a free loopback port; its ``redis://`` address."""
    with redis(tmp_path_factory.mktemp("redis")) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv(REDIS_PASSWORD, PASSWORD)
        yield address


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """A PostgreSQL of our own, with a password, on loopback; its ``postgresql://`` address."""
    with postgres() as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("PGPASSWORD", PASSWORD)
        yield address


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
