"""Build the Feast repository of one version: a folder that stands on its own.

``feature_store.yaml``, ``registry.db``, ``offline/<view>/<as_of>.parquet``, ``online.db`` (sqlite),
``definition.json``, ``types.json``, ``as_of.json``, ``repository.json`` and the base of live features
(``hemix.features.live.base``).
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hemix.features.definition import DatasetDefinition
from hemix.features.feature_views import view_specs, views_digest
from hemix.features.live.base import base_name, build_base
from hemix.features.schema import ColumnTypes
from hemix.features.store.materialise import materialise, offline_file
from hemix.features.store.objects import feast_objects
from hemix.features.store.settings import (
    ONLINE,
    SQLITE,
    online_settings,
    open_store,
    quiet,
    store_errors,
    write_settings,
)
from hemix.features.store.tables import view_tables
from hemix.files import atomic_file, atomic_folder, digest_of, read_json, sha256_folder, write_json
from hemix.texts.frozen import Frozen, parse

STAGING_TTL_S = 86_400
"""Staged rows leave a shared redis by themselves after a day; published ones stay."""


class RepositoryInfo(Frozen):
    """``repository.json``: what a repository holds. ``rows`` counts rows a view."""

    service: str
    as_of: datetime
    online_store: str
    digest: str
    views: tuple[str, ...]
    rows: dict[str, int]

    @staticmethod
    def read(repository: Path) -> RepositoryInfo:
        """Read a repository's ``repository.json``.

        Raises:
            StorageError: it is missing or holds something else.
        """
        path = repository / "repository.json"
        return parse(RepositoryInfo, read_json(path), where=str(path), what="a feature repository")


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
        definition: the data set definition.
        types: what ids and values are stored as.
        events: the events artifact (dimensions).
        state: ``users.parquet`` and ``items.parquet`` as of ``as_of`` (``hemix.features.examples.as_of``).
        as_of: the instant of the rows.
        service: name of the feature service.
        out: folder of the repository.
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
        base = base_name(views_digest(definition, types))
        build_base(definition, types, events=events, as_of=as_of, out=folder / base)
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
        materialise(store, info, info.views, folder)
    return info


def drop_staged_rows(repository: Path) -> None:
    """Remove the sqlite file that the gates have read: publishing fills the live store from the
    offline rows."""
    for path in repository.glob(f"{ONLINE}*"):
        path.unlink()


def service_tags(info: RepositoryInfo) -> dict[str, str]:
    """What a feature service says of itself in the registry."""
    return {"as_of": info.as_of.isoformat(), "digest": info.digest}


def write_rows(folder: Path, tables: dict[str, pa.Table], as_of: datetime) -> None:
    """Write each view's offline rows as ``offline/<view>/<as_of>.parquet``."""
    for name, table in tables.items():
        with atomic_file(offline_file(folder, name, as_of)) as path:
            pq.write_table(table, path, compression="zstd")
