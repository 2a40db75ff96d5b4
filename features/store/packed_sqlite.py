"""A sqlite online store with one record a key and view, where Feast's own has one a feature.

Feast writes the serialized key and the feature's name beside every value; of a small integer that is
nine tenths of the record. Here the values of a key stand in one record, in the order of the view's
features, which a view's name fixes (``hemix.features.feature_views.views_digest``). Feast makes an
object of this class by the name in ``feature_store.yaml``; nobody else imports this module, so Feast
may stand at its top.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig
from feast.protos.feast.types.Value_pb2 import RepeatedValue
from feast.utils import to_naive_utc


class PackedSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """Its part of a ``feature_store.yaml``; ``path`` is the sqlite file."""

    type: Literal["hemix.features.store.packed_sqlite.PackedSqliteOnlineStore"] = (
        "hemix.features.store.packed_sqlite.PackedSqliteOnlineStore"
    )


class PackedSqliteOnlineStore(SqliteOnlineStore):
    """Feast's sqlite store with another layout; keys, times and transactions are Feast's."""

    def update(
        self,
        config: Any,
        tables_to_delete: Sequence[Any],
        tables_to_keep: Sequence[Any],
        entities_to_delete: Sequence[Any],
        entities_to_keep: Sequence[Any],
        partial: bool,
    ) -> None:
        """Make the tables of new views and drop those of old ones.

        Args:
            config: Feast's settings of the repository.
            tables_to_delete: views that go.
            tables_to_keep: views that are there afterwards.
            entities_to_delete: not looked at.
            entities_to_keep: not looked at.
            partial: not looked at.
        """
        connection = self._get_conn(config)
        for view in tables_to_keep:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS {_table(config, view)} "
                '(entity_key BLOB PRIMARY KEY, "values" BLOB NOT NULL, event_ts timestamp NOT NULL)'
            )
        for view in tables_to_delete:
            connection.execute(f"DROP TABLE IF EXISTS {_table(config, view)}")

    def online_write_batch(
        self,
        config: Any,
        table: Any,
        data: Sequence[tuple[Any, dict[str, Any], datetime, datetime | None]],
        progress: Callable[[int], Any] | None,
    ) -> None:
        """Put rows in place of those of the same keys, all of them in one transaction.

        Raises:
            ValueError: a row lacks a feature of the view.
        """
        names = [feature.name for feature in table.features]

        def records() -> Iterator[tuple[bytes, bytes, datetime]]:
            for key, values, stamp, _ in data:
                if absent := [name for name in names if name not in values]:
                    raise ValueError(f"a row of {table.name} lacks the feature {absent[0]}")
                packed = RepeatedValue(val=[values[name] for name in names])
                yield _key(config, key), packed.SerializeToString(), to_naive_utc(stamp)
                if progress:
                    progress(1)

        connection = self._get_conn(config)
        with connection:
            connection.executemany(
                f"INSERT OR REPLACE INTO {_table(config, table)} VALUES (?, ?, ?)", records()
            )

    def online_read(
        self,
        config: Any,
        table: Any,
        entity_keys: Sequence[Any],
        requested_features: Sequence[str] | None = None,
    ) -> list[tuple[datetime | None, dict[str, Any] | None]]:
        """Time and values of each key, in the order asked for; ``(None, None)`` for an unknown one.

        Raises:
            ValueError: a record does not hold one value a feature.
        """
        names = [feature.name for feature in table.features]
        keys = [_key(config, key) for key in entity_keys]
        marks = ",".join("?" * len(keys))
        found = self._get_conn(config).execute(
            f'SELECT entity_key, "values", event_ts FROM {_table(config, table)} '
            f"WHERE entity_key IN ({marks})",
            keys,
        )
        rows: dict[bytes, tuple[datetime, dict[str, Any]]] = {}
        for key, packed, stamp in found.fetchall():
            values = RepeatedValue.FromString(packed).val
            rows[key] = (stamp.replace(tzinfo=UTC), dict(zip(names, values, strict=True)))
        return [rows.get(key, (None, None)) for key in keys]


def _table(config: Any, view: Any) -> str:
    """The quoted name of a view's table."""
    name = f"{config.project}_{view.name}".replace('"', '""')
    return f'"{name}"'


def _key(config: Any, key: Any) -> bytes:
    version = config.entity_key_serialization_version
    return bytes(serialize_entity_key(key, entity_key_serialization_version=version))
