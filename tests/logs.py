"""A made-up log of a shop, small enough to write by hand, in CSV and Parquet."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl

from hemix.features.definition import DatasetDefinition

DEFINITION: dict[str, Any] = {
    "name": "shop",
    "interactions": [
        {
            "paths": ["views.csv"],
            "columns": {
                "user_id": "customer",
                "item_id": "product",
                "event_time": "at",
                "device": "device",
            },
            "labels": {"buy": {"column": "bought"}},
        }
    ],
    "derived_behaviors": {"actions": {"buy": "buy"}, "otherwise": "view"},
    "users": [{"paths": ["customers.csv"], "columns": {"user_id": "customer", "age": "age"}}],
    "items": [
        {
            "paths": ["products.parquet"],
            "columns": {"item_id": "product", "brand": "brand", "price": "price"},
        }
    ],
    "tasks": ["buy"],
    "categorical": [{"name": n} for n in ("user_id", "item_id", "device", "brand")],
    "numeric": [{"name": "age"}, {"name": "price"}],
    "sequences": {"columns": ["brand"]},
    "split": {
        "train": {"start": "2024-03-01", "end": "2024-03-03"},
        "test": {"start": "2024-03-03", "end": "2024-03-04"},
    },
}


def views(rows: int = 600) -> pl.DataFrame:
    """Views of three days by 20 customers; a fifth of them are purchases."""
    step = 3 * 86_400 // rows
    index = pl.int_range(rows, eager=True)
    seconds = index * step
    start = pl.datetime(2024, 3, 1)
    return pl.DataFrame({"i": index, "s": seconds}).select(
        (pl.col("i") * 7 % 20).alias("customer"),
        pl.format("p{}", pl.col("i") * 13 % 30).alias("product"),
        (start + pl.duration(seconds=pl.col("s"))).dt.to_string("%Y-%m-%dT%H:%M:%SZ").alias("at"),
        pl.when(pl.col("i") % 3 == 0)
        .then(pl.lit("phone"))
        .otherwise(pl.lit("web"))
        .alias("device"),
        (pl.col("i") % 5 == 0).cast(pl.Int8).alias("bought"),
    )


def customers() -> pl.DataFrame:
    return pl.DataFrame(
        {"customer": range(20), "age": [None if i == 3 else 20 + i for i in range(20)]}
    )


def products() -> pl.DataFrame:
    return pl.DataFrame(
        {
            "product": [f"p{i}" for i in range(30)],
            "brand": [None if i == 7 else f"b{i % 4}" for i in range(30)],
            "price": [float(i) + 0.5 for i in range(30)],
        }
    )


def write_log(
    folder: Path,
    *,
    views: pl.DataFrame | None = None,
    change: Callable[[dict[str, Any]], None] | None = None,
) -> DatasetDefinition:
    """Write the shop's files into ``folder`` and return its definition, ``change``d."""
    folder.mkdir(parents=True, exist_ok=True)
    (globals()["views"]() if views is None else views).write_csv(folder / "views.csv")
    customers().write_csv(folder / "customers.csv")
    products().write_parquet(folder / "products.parquet")
    value = copy.deepcopy(DEFINITION)
    value["root"] = str(folder)
    if change:
        change(value)
    return DatasetDefinition.parse(value)
