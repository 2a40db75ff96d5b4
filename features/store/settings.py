"""Feast settings as a ``feature_store.yaml``: online store and registry, never a password.

Online store: ``sqlite`` or ``redis://user@host:port/db``. Registry: ``file`` (replaced by rename),
``sqlite`` or ``postgresql://user@host:port/db`` (Feast's SQL registry, which many may share).
Passwords come from the environment when a store is opened: ``HEMIX_REDIS_PASSWORD``, ``PGPASSWORD``.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import yaml

from hemix.errors import DefinitionError, FeatureStoreError, HemixError
from hemix.files import atomic_file
from hemix.limits import chain, limit_of
from hemix.unforeseen import described

SQLITE = "sqlite"
PACKED_SQLITE = "hemix.features.store.packed_sqlite.PackedSqliteOnlineStore"
"""By this name Feast finds the store that ``sqlite`` means here."""
REGISTRY = "registry.db"
SQL_REGISTRY = "registry.sqlite"
ONLINE = "online.db"
LIVE_PROJECT = "hemix"
REDIS_TIMEOUT_S = 2.0
"""Longest wait for one answer of redis; readers set their own, shorter deadline on top."""
POSTGRES_TIMEOUT_S = 5
REDIS_PASSWORD = "HEMIX_REDIS_PASSWORD"
FEATURE_REGISTRY = "HEMIX_FEATURE_REGISTRY"
"""Names the live store's registry where no argument does."""


_IMPORTING = threading.Lock()


def online_settings(online_store: str, *, key_ttl_s: int | None = None) -> dict[str, Any]:
    """The ``online_store`` part of a ``feature_store.yaml``.

    Raises:
        DefinitionError: neither ``sqlite`` nor ``redis://host:port/db``, or with a password.
    """
    if online_store == SQLITE:
        return {"type": PACKED_SQLITE, "path": ONLINE}
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
    _refuse_password(url.password, "online_store", REDIS_PASSWORD)
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
    settings: dict[str, Any] = {"type": "redis", "connection_string": ",".join(parts)}
    # Without this a service that goes away would make Feast walk over every key of the database.
    settings["full_scan_for_deletion"] = False
    # Rows of an older instant are kept out by publish; a corrected row of the same instant must win.
    settings["skip_dedup"] = True
    if key_ttl_s is not None:
        settings["key_ttl_seconds"] = key_ttl_s
    return settings


def registry_settings(feature_registry: str) -> dict[str, Any]:
    """The ``registry`` part of a ``feature_store.yaml``.

    Raises:
        DefinitionError: none of ``file``, ``sqlite``, ``postgresql://...``, or with a password.
    """
    # No reload while serving: a new service is read by a new OnlineFeatures.
    common = {"cache_ttl_seconds": 0}
    if feature_registry == "file":
        return {"path": REGISTRY, **common}
    if feature_registry == SQLITE:
        return {"registry_type": "sql", "path": f"sqlite:///{SQL_REGISTRY}", **common}
    try:
        url = urlsplit(feature_registry)
        good = url.scheme == "postgresql" and url.path.strip("/") and (url.port or 1)
    except ValueError:
        good = None
    if not good:
        raise DefinitionError(
            f"feature_registry: {feature_registry!r} is not a registry.",
            hint="Write file, sqlite, or postgresql://user@host:port/database.",
        )
    _refuse_password(url.password, "feature_registry", "PGPASSWORD")
    path = feature_registry.replace("postgresql://", "postgresql+psycopg://", 1)
    return {"registry_type": "sql", "path": path, **common}


def write_settings(
    folder: Path, *, project: str, online: dict[str, Any], registry: dict[str, Any] | None = None
) -> None:
    """Write ``feature_store.yaml``; every path in it is relative, so the folder can be moved."""
    settings = {
        "project": project,
        "provider": "local",
        "registry": registry or registry_settings("file"),
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


def import_feast() -> ModuleType:
    """The feast package, imported without the run-time type checks of its own constructors.

    Preparing those (typeguard compiles each class anew) is two thirds of the import's time, in every
    process that starts.
    """
    import typeguard

    def unchecked(target: Any = None, **_: Any) -> Any:
        return unchecked if target is None else target

    with _IMPORTING:
        checked: Callable[..., Any] = typeguard.typechecked
        typeguard.typechecked = unchecked
        try:
            import feast
        finally:
            typeguard.typechecked = checked
    return feast


def open_store(folder: Path, *, registry: str = REGISTRY, offline: bool = True) -> Any:
    """The ``feast.FeatureStore`` of ``folder``.

    Args:
        folder: where its settings are.
        registry: another registry file in it.
        offline: whether offline rows will be read, for which dask is imported.

    Raises:
        FeatureStoreError: the folder holds no feature store, or its registry does not answer.
    """
    settings = read_settings(folder)
    import_feast()
    from feast import FeatureStore, RepoConfig
    from feast.repo_config import FeastConfigBaseModel

    logging.getLogger("feast").setLevel(logging.ERROR)
    root = folder.resolve()
    if not offline:
        settings["offline_store"] = FeastConfigBaseModel()
    settings["registry"] = _registry(settings["registry"], root, registry)
    settings["online_store"] = _with_password(settings["online_store"])
    with store_errors(f"in {folder}"):
        store = FeatureStore(repo_path=str(root), config=RepoConfig(repo_path=root, **settings))
        _ = store.registry  # opens it; one that does not answer is named here and not later
    return store


def in_sql(folder: Path) -> bool:
    """Whether the registry of ``folder`` is a database and not a file of its own."""
    return read_settings(folder)["registry"].get("registry_type") == "sql"


def _registry(settings: dict[str, Any], root: Path, file: str) -> dict[str, Any]:
    if settings.get("registry_type") != "sql":
        return {**settings, "path": file}
    engine: dict[str, Any] = {"echo": False}
    path = settings["path"]
    if path.startswith("sqlite:///"):
        path = f"sqlite:///{root / path.removeprefix('sqlite:///')}"
    else:
        engine |= {"connect_args": {"connect_timeout": POSTGRES_TIMEOUT_S}, "pool_size": 1}
    return {**settings, "path": path, "sqlalchemy_config_kwargs": engine}


def hang_up(store: Any) -> None:
    """Close the connections of a SQL registry: it is read when a version is opened, then not for weeks."""
    engine = getattr(store.registry, "write_engine", None)
    if engine is not None:
        engine.dispose()


def _with_password(online: dict[str, Any]) -> dict[str, Any]:
    password = os.environ.get(REDIS_PASSWORD)
    if online["type"] != "redis" or not password:
        return online
    # Feast cuts the text at commas and reads each value as JSON.
    text = json.dumps(password).replace(",", "\\u002c")
    return {**online, "connection_string": f"{online['connection_string']},password={text}"}


def _refuse_password(password: str | None, setting: str, variable: str) -> None:
    if password is not None:
        raise DefinitionError(
            f"{setting}: the address holds a password, which would be kept in records and files.",
            hint=f"Leave it out and set {variable} in the environment.",
        )


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Swallow the progress bars that Feast prints a feature view."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield


@contextlib.contextmanager
def store_errors(online_store: str) -> Iterator[None]:
    """Turn whatever a store raises into an error of ours that names the store (no password).

    Raises:
        StorageError: the disk is full, or the like.
        FeatureStoreError: anything else; only a store that was not reached is said to be out of reach.
    """
    try:
        yield
    except HemixError:
        raise
    except Exception as error:
        if limit := limit_of(error):
            raise limit.error() from error
        where = online_store.rsplit("@", 1)[-1]
        raise FeatureStoreError(
            f"The feature store {where} failed: {described(error)}.", hint=_hint(error)
        ) from error


def _hint(error: Exception) -> str:
    kinds = [type(found) for found, _ in chain(error)]
    names = {kind.__name__ for kind in kinds}
    if names & {"AuthenticationError", "NoPermissionError"} or "NOAUTH" in str(error):
        return f"Set {REDIS_PASSWORD} to its password."
    if "is locked" in str(error):
        return "Another process is writing to it: try again when it is done."
    # redis and psycopg have classes of their own for what Python calls ConnectionError and TimeoutError.
    if any(
        issubclass(kind, ConnectionError | TimeoutError | socket.gaierror) for kind in kinds
    ) or (names & {"ConnectionError", "TimeoutError", "ConnectionTimeout", "BusyLoadingError"}):
        return "Check that it runs and can be reached."
    if any(
        kind.__module__.startswith("psycopg") and kind.__name__ == "OperationalError"
        for kind in kinds
    ):
        return "Check that it runs and can be reached, and the user, database and PGPASSWORD."
    return "This is not about reaching it; the traceback in the log says where it broke."
