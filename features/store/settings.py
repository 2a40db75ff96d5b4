"""Feast settings: ``sqlite`` or ``redis://host:port/db`` as a ``feature_store.yaml``."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from hemix.errors import DefinitionError, FeatureStoreError, HemixError
from hemix.files import atomic_file

SQLITE = "sqlite"
REGISTRY = "registry.db"
ONLINE = "online.db"
LIVE_PROJECT = "hemix"
REDIS_TIMEOUT_S = 2.0
"""Longest wait for one answer of redis; readers set their own, shorter deadline on top."""


def online_settings(online_store: str, *, key_ttl_s: int | None = None) -> dict[str, Any]:
    """The ``online_store`` part of a ``feature_store.yaml``.

    Raises:
        DefinitionError: neither ``sqlite`` nor ``redis://host:port/db``.
    """
    if online_store == SQLITE:
        return {"type": "sqlite", "path": ONLINE}
    try:
        url = urlsplit(online_store)
        good = url.scheme in ("redis", "rediss") and url.hostname
        port, database = url.port or 6379, int(url.path.strip("/") or 0)
    except ValueError:
        good = None
    if not good:
        raise DefinitionError(
            f"online_store: {online_store!r} is not a store.",
            hint="Write sqlite, or redis://host:port/db.",
        )
    parts = [
        f"{url.hostname}:{port}",
        f"db={database}",
        f"socket_timeout={REDIS_TIMEOUT_S}",
        f"socket_connect_timeout={REDIS_TIMEOUT_S}",
    ]
    if url.scheme == "rediss":
        parts.append("ssl=true")
    if url.username:
        parts.append(f"username={url.username}")
    if url.password:
        parts.append(f"password={url.password}")
    settings: dict[str, Any] = {"type": "redis", "connection_string": ",".join(parts)}
    # Without this a service that goes away would make Feast walk over every key of the database.
    settings["full_scan_for_deletion"] = False
    # Rows of an older instant are kept out by publish; a corrected row of the same instant must win.
    settings["skip_dedup"] = True
    if key_ttl_s is not None:
        settings["key_ttl_seconds"] = key_ttl_s
    return settings


def write_settings(folder: Path, *, project: str, online: dict[str, Any]) -> None:
    """Write ``feature_store.yaml``; every path in it is relative, so the folder can be moved."""
    settings = {
        "project": project,
        "provider": "local",
        # No reload while serving: a new service is read by a new OnlineFeatures.
        "registry": {"path": REGISTRY, "cache_ttl_seconds": 0},
        "online_store": online,
        "offline_store": {"type": "dask"},
        "entity_key_serialization_version": 3,
    }
    with atomic_file(folder / "feature_store.yaml") as path:
        path.write_text(yaml.safe_dump(settings, sort_keys=False))


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings in ``folder``.

    Raises:
        FeatureStoreError: there are none, or they are not YAML.
    """
    try:
        value = yaml.safe_load((folder / "feature_store.yaml").read_text())
    except (OSError, yaml.YAMLError) as error:
        raise FeatureStoreError(
            f"{folder}: no readable feature_store.yaml ({error}).",
            hint="Publish a feature repository there first.",
        ) from error
    return dict(value)


def open_store(folder: Path, *, registry: str = REGISTRY) -> Any:
    """The ``feast.FeatureStore`` of ``folder``, optionally with another registry file in it.

    Raises:
        FeatureStoreError: the folder holds no feature store.
    """
    settings = read_settings(folder)
    from feast import FeatureStore, RepoConfig

    logging.getLogger("feast").setLevel(logging.ERROR)
    settings["registry"]["path"] = registry
    root = folder.resolve()
    return FeatureStore(repo_path=str(root), config=RepoConfig(repo_path=root, **settings))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow the progress bars that Feast prints a feature view."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def store_errors(online_store: str) -> Iterator[None]:
    """Turn whatever a store raises into :class:`FeatureStoreError` that names it (no password)."""
    try:
        yield
    except HemixError:
        raise
    except Exception as error:
        where = online_store.rsplit("@", 1)[-1]
        raise FeatureStoreError(
            f"The feature store {where} failed: {type(error).__name__}: {error}.",
            hint="Check that it runs and can be reached.",
        ) from error
