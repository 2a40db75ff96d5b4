"""Users and items: several sources that describe the same ids become one table."""

from __future__ import annotations

import polars as pl

from hemix.components.ingest.repeats import Repeats, one_row_a_key
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import (
    MISSING_INT,
    MISSING_STRING,
    ColumnTypes,
    items_schema,
    users_schema,
)
from hemix.features.sources.tables import read_dimension

_POLARS = {"int64": pl.Int64, "string": pl.String, "double": pl.Float64, "timestamp": pl.Int64}


def merge_dimension(
    definition: DatasetDefinition, types: ColumnTypes, side: str, counts: Repeats
) -> tuple[int, pl.DataFrame]:
    """Rows read, and one row an id and ``valid_from`` with the columns of all sources.

    A source speaks for its own columns from its rows' ``valid_from`` on, until its next row of the
    same id. Where two sources give the same column at the same instant, the first one declared
    wins unless its value is missing. Sorted by id and ``valid_from``; times are int64 ms.
    """
    key = "user_id" if side == "users" else "item_id"
    schema = (users_schema if side == "users" else items_schema)(definition, types)
    kinds = {f.name: _POLARS[str(f.type).split("[")[0]] for f in schema}
    batches: dict[int, list[pl.DataFrame]] = {}
    for index, batch in read_dimension(definition, types, side):
        batches.setdefault(index, []).append(batch)
    merged: pl.DataFrame | None = None
    rows = 0
    for index in sorted(batches):
        frame = pl.concat(batches.pop(index))
        rows += frame.height
        frame = one_row_a_key(frame, [key, "valid_from"], [], counts)
        frame = frame.with_columns(_missing_to_null(frame, (key, "valid_from")))
        merged = frame if merged is None else _join(merged, frame, key)
    if merged is None:
        merged = pl.DataFrame(schema={key: kinds[key], "valid_from": pl.Int64})
    absent = [
        pl.lit(None, dtype=kind).alias(n) for n, kind in kinds.items() if n not in merged.columns
    ]
    merged = merged.with_columns(absent).select(schema.names)
    filled = [_null_to_missing(name, kind) for name, kind in kinds.items() if name != "created_at"]
    return rows, merged.with_columns(filled).sort(key, "valid_from")


def _join(left: pl.DataFrame, right: pl.DataFrame, key: str) -> pl.DataFrame:
    """All instants of both; each side's latest values hold between its own rows."""
    on = [key, "valid_from"]
    instants = pl.concat([left.select(on), right.select(on)]).unique().sort(on)
    for side, suffix in ((left, "_left"), (right, "_right")):
        names = [name for name in side.columns if name not in on]
        held = side.rename({name: name + suffix for name in names}).sort("valid_from")
        instants = instants.sort("valid_from").join_asof(
            held, on="valid_from", by=key, strategy="backward", check_sortedness=False
        )
    names = list(dict.fromkeys(n for n in (*left.columns, *right.columns) if n not in on))
    columns = [
        pl.coalesce(
            *(
                name + s
                for name_columns, s in ((left.columns, "_left"), (right.columns, "_right"))
                if name in name_columns
            )
        ).alias(name)
        for name in names
    ]
    return instants.select(*on, *columns)


def _missing_to_null(frame: pl.DataFrame, keys: tuple[str, ...]) -> list[pl.Expr]:
    missing = {pl.Int64: MISSING_INT, pl.String: MISSING_STRING}
    columns = []
    for name, kind in frame.schema.items():
        if name in keys or name == "created_at":
            continue
        if kind == pl.Float64:
            columns.append(pl.col(name).fill_nan(None))
        else:
            value = missing[pl.Int64 if kind == pl.Int64 else pl.String]
            columns.append(pl.when(pl.col(name) != value).then(pl.col(name)).alias(name))
    return columns


def _null_to_missing(name: str, kind: type[pl.DataType]) -> pl.Expr:
    value = {pl.Int64: MISSING_INT, pl.String: MISSING_STRING, pl.Float64: float("nan")}[kind]
    return pl.col(name).fill_null(value)
