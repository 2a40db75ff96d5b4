"""Write offline rows into the online store.

``FeatureStore.materialize`` does this through dask, which on one machine spends most of its time in
hashing and pickling list columns; here the rows of one instant go straight from Parquet through
Feast's own conversion and ``online_write_batch``, and the interval is noted in the registry as usual.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from hemix.features.store.objects import OFFLINE
from hemix.features.store.settings import SQLITE, store_errors
from hemix.progress import say

if TYPE_CHECKING:
    from hemix.features.store.repository import RepositoryInfo

REDIS_ROWS = 20_000
"""Rows of one redis pipeline; sqlite takes a view in one transaction."""


def offline_file(folder: Path, view: str, as_of: datetime) -> Path:
    """Where the rows of ``view`` at ``as_of`` lie."""
    return folder / OFFLINE / view / f"{as_of:%Y%m%dT%H%M%S%fZ}.parquet"


def materialise(store: Any, info: RepositoryInfo, views: Iterable[str], folder: Path) -> None:
    """Write the rows at ``info.as_of`` of ``views`` into the online store, one view at a time.

    In sqlite each view is one transaction: readers see all of its old or all of its new rows.

    Args:
        store: the ``feast.FeatureStore`` of ``folder``; the views are applied.
        info: the instant, and the service, of the rows.
        views: names of the feature views.
        folder: the repository.

    Raises:
        FeatureStoreError: the online store did not take them.
    """
    from feast.infra.key_encoding_utils import serialize_entity_key
    from feast.utils import _convert_arrow_to_proto

    def place(row: Any) -> bytes:
        return serialize_entity_key(row[0], store.config.entity_key_serialization_version)

    provider = store._get_provider()
    for name in views:
        table = pq.read_table(offline_file(folder, name, info.as_of), partitioning=None)
        say(f"feature store: {table.num_rows} rows of {name}")
        view = store.get_feature_view(name)
        keys = {column.name: column.dtype.to_value_type() for column in view.entity_columns}
        table = table.combine_chunks()
        size = max(table.num_rows, 1) if info.online_store == SQLITE else REDIS_ROWS
        with store_errors(info.online_store):
            # Batch by batch: Feast converts the first batch of a table and drops the others.
            for batch in table.to_batches(max_chunksize=size):
                rows = sorted(_convert_arrow_to_proto(batch, view, keys), key=place)
                provider.online_write_batch(store.config, view, rows, None)
            store.registry.apply_materialization(
                view, store.project, info.as_of - timedelta(milliseconds=1), info.as_of
            )


def allow_readers_while_writing(database: Path) -> None:
    """Switch a sqlite file to write-ahead logging: readers then never wait for a writer."""
    _pragma(database, "journal_mode=WAL")


def fold_log(database: Path) -> None:
    """Fold the write-ahead log into the sqlite file, as far as readers allow."""
    _pragma(database, "wal_checkpoint(TRUNCATE)")


def _pragma(database: Path, text: str) -> None:
    connection = sqlite3.connect(database)
    try:
        connection.execute(f"PRAGMA {text}").fetchall()
    finally:
        connection.close()
