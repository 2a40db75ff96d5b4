"""A small log of hotel searches in which price and slot are each candidate's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

DEFINITION: dict[str, Any] = {
    "name": "hotels",
    "interactions": [
        {
            "paths": ["views.parquet"],
            "time_unit": "ms",
            "columns": {
                "request_id": "search",
                "user_id": "guest",
                "item_id": "hotel",
                "event_time": "at",
                "device": "device",
                "price": "price",
                "slot": "slot",
            },
            "labels": {"book": {"column": "booked"}},
        }
    ],
    "derived_behaviors": {"actions": {"book": "book"}, "otherwise": "view"},
    "items": [{"paths": ["hotels.parquet"], "columns": {"item_id": "hotel", "stars": "stars"}}],
    "tasks": ["book"],
    "categorical": [
        {"name": "user_id"},
        {"name": "item_id"},
        {"name": "device"},
        {"name": "slot", "per": "candidate", "serve_as": 1},
    ],
    "numeric": [{"name": "stars"}, {"name": "price", "per": "candidate"}],
    "sequences": {"global_length": 4, "realtime_length": 2},
    "counters": [
        {"key": "item_id", "windows": ["ever"]},
        {"key": "user_id", "windows": ["ever"]},
        {"key": ["user_id", "item_id"], "events": ["impression"], "windows": ["ever"]},
    ],
    "matches": [{"column": "item_id"}],
    "within_request": [
        {"of": "price", "statistics": ["rank", "ratio_to_mean"]},
        {"of": "item_impression_ever", "statistics": ["rank"]},
        {"of": "user_item_impression_ever", "statistics": ["rank"]},
    ],
    "split": {
        "train": {"start": "2024-03-01", "end": "2024-03-03"},
        "test": {"start": "2024-03-03", "end": "2024-03-04"},
    },
}


def write_log(folder: Path, searches: int = 240) -> None:
    """Searches of three days by 15 guests, five hotels each; some prices are missing or equal."""
    random = np.random.default_rng(3)
    start = np.datetime64("2024-03-01", "ms").astype(int)
    rows = [
        {
            "search": f"s{search}",
            "guest": search % 15,
            "at": int(start + search * 3 * 86_400_000 // searches),
            "device": "phone" if search % 3 else "web",
            "hotel": f"h{hotel}",
            "price": [None, 50.0, 50.0, 80.5, -0.0][int(random.integers(5))],
            "slot": slot + 1,
            "booked": int(random.random() < 0.6 / (slot + 1)),
        }
        for search in range(searches)
        for slot, hotel in enumerate(random.permutation(20)[:5])
    ]
    pl.DataFrame(rows).write_parquet(folder / "views.parquet")
    stars = {"hotel": [f"h{n}" for n in range(20)], "stars": [float(n % 5 + 1) for n in range(20)]}
    pl.DataFrame(stars).write_parquet(folder / "hotels.parquet")
