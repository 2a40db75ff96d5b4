"""Build the Feast repository of one version: a folder that stands on its own.

``feature_store.yaml``, ``registry.db``, ``offline/<view>/<as_of>.parquet``, ``online.db`` (sqlite),
``definition.json``, ``types.json``, ``as_of.json`` and ``repository.json``.
"""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from features.definition import DatasetDefinition
from features.schema import ColumnTypes
from features.store.objects import OFFLINE, feast_objects
from features.store.settings import (
    ONLINE,
    SQLITE,
    online_settings,
    open_store,
    quiet,
    store_errors,
    write_settings,
)
from features.store.tables import view_tables
from features.store.views import view_specs
from hemix.files import atomic_file, atomic_folder, digest_of, read_json, sha256_folder, write_json
from hemix.progress import say

STAGING_TTL_S = 86_400
"""Staged rows leave a shared redis by themselves after a day; published ones stay."""


class RepositoryInfo(BaseModel):
    """``repository.json``: what a repository holds. ``rows`` counts rows a view."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    service: str
    as_of: datetime
    online_store: str
    digest: str
    views: tuple[str, ...]
    rows: dict[str, int]

    @staticmethod
    def read(repository: Path) -> RepositoryInfo:
        return RepositoryInfo.model_validate(read_json(repository / "repository.json"))


def build_repository(
    definition: DatasetDefinition,
    types: ColumnTypes,
    events: Path,
    state: Path,
    as_of: datetime,
    service: str,
    out: Path,
    online_store: str = SQLITE,
) -> RepositoryInfo:
    """Write the repository of ``service`` to ``out`` and fill its (staging) online store.

    Args:
        events: the events artifact (dimensions).
        state: ``users.parquet`` and ``items.parquet`` as of ``as_of`` (``features.state``).
        online_store: ``sqlite`` (a file in ``out``) or ``redis://host:port/db``; staged rows live in
            a Feast project of their own and disturb nothing that is published.

    Raises:
        DataError: the state does not fit the definition or ``as_of``.
        FeatureStoreError: the online store does not answer.
    """
    as_of = as_of.astimezone(UTC)
    specs = view_specs(definition, types)
    tables = view_tables(definition, types, events=events, state=state, as_of=as_of)
    with atomic_folder(out) as folder:
        write_rows(folder, tables, as_of)
        write_json(folder / "types.json", types.to_json())
        (folder / "definition.json").write_text(definition.to_json())
        info = RepositoryInfo(
            service=service,
            as_of=as_of,
            online_store=online_store,
            digest=digest_of(sha256_folder(folder)),
            views=tuple(spec.name for spec in specs),
            rows={name: table.num_rows for name, table in tables.items()},
        )
        write_json(folder / "repository.json", info.model_dump(mode="json"))
        write_json(folder / "as_of.json", {"as_of": as_of.isoformat()})
        write_settings(
            folder,
            project=f"staging_{digest_of([service, info.digest])}",
            online=online_settings(online_store, key_ttl_s=STAGING_TTL_S),
        )
        store = open_store(folder)
        with store_errors(online_store), quiet():
            store.apply(feast_objects(specs, types, service, service_tags(info)))
        materialise(store, info, folder)
    return info


def service_tags(info: RepositoryInfo) -> dict[str, str]:
    """What a feature service says of itself in the registry."""
    return {"as_of": info.as_of.isoformat(), "digest": info.digest}


def write_rows(folder: Path, tables: dict[str, pa.Table], as_of: datetime) -> None:
    """Write each view's offline rows as ``offline/<view>/<as_of>.parquet``."""
    for name, table in tables.items():
        with atomic_file(offline_file(folder, name, as_of)) as path:
            pq.write_table(table, path, compression="zstd")


def offline_file(folder: Path, view: str, as_of: datetime) -> Path:
    """Where the rows of ``view`` at ``as_of`` lie."""
    return folder / OFFLINE / view / f"{as_of:%Y%m%dT%H%M%S%fZ}.parquet"


def materialise(store: Any, info: RepositoryInfo, folder: Path) -> None:
    """Write the rows at ``info.as_of`` of every view into the online store, one view at a time.

    Each view is one transaction of sqlite, so readers see all of its old or all of its new rows.

    Raises:
        FeatureStoreError: the online store did not take them.
    """
    second = timedelta(seconds=1)
    if info.online_store == SQLITE:
        allow_readers_while_writing(folder / ONLINE)
    for name in info.views:
        say(f"feature store: {info.rows[name]} rows of {name}")
        with store_errors(info.online_store), quiet():
            store.materialize(
                start_date=info.as_of - second,
                end_date=info.as_of + second,
                feature_views=[name],
                disable_event_timestamp=False,
            )


def allow_readers_while_writing(database: Path) -> None:
    """Switch a sqlite file to write-ahead logging: readers then never wait for a writer."""
    with sqlite3.connect(database) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
    connection.close()
