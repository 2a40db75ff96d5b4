"""Entities, feature views and feature service as Feast objects, built from the specs."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pyarrow as pa

from hemix.features.feature_views import TIMESTAMP, ViewSpec
from hemix.features.schema import ColumnTypes
from hemix.features.store.settings import import_feast

OFFLINE = "offline"


def feast_objects(
    specs: tuple[ViewSpec, ...], types: ColumnTypes, service: str, tags: dict[str, str]
) -> list[Any]:
    """Two entities, one view a spec and the service, ready for ``FeatureStore.apply``.

    Views read ``offline/<view>/*.parquet`` of their repository; no view ever expires (ttl 0): how
    fresh they are is the materialising pipeline's business, and the service is told by its tags.
    """
    import_feast()
    from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType

    entities = {
        side: Entity(
            name=side,
            join_keys=[f"{side}_id"],
            value_type=ValueType.INT64 if pa.types.is_integer(kind) else ValueType.STRING,
        )
        for side, kind in (("user", types.user_id), ("item", types.item_id))
    }
    keys = {"user": types.user_id, "item": types.item_id}
    views = [
        FeatureView(
            name=spec.name,
            entities=[entities[spec.entity]],
            ttl=timedelta(0),
            schema=[
                Field(name=spec.key, dtype=feast_type(keys[spec.entity])),
                *(Field(name=name, dtype=feast_type(kind)) for name, kind in spec.columns.items()),
            ],
            source=FileSource(
                name=f"{spec.name}_rows",
                path=f"{OFFLINE}/{spec.name}",
                timestamp_field=TIMESTAMP,
            ),
            tags={"base": spec.base},
        )
        for spec in specs
    ]
    return [*entities.values(), *views, FeatureService(name=service, features=views, tags=tags)]


def feast_type(kind: pa.DataType) -> Any:
    """The Feast type of an Arrow type (int64, float64, string, and lists of them)."""
    from feast.types import Array, Float64, Int64, String

    if pa.types.is_list(kind):
        return Array(feast_type(kind.value_type))
    if pa.types.is_floating(kind):
        return Float64
    return String if pa.types.is_string(kind) else Int64
