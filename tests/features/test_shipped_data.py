"""The KuaiRand files that ship: small, licensed, free of leaks, and what the script makes."""

from __future__ import annotations

import runpy
from pathlib import Path

import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from hemix.features.definition import EXAMPLES

FOLDER = EXAMPLES / "kuairand"
TABLES = ("interactions", "prior_behaviors", "users", "items")


def read(name: str) -> pl.DataFrame:
    return pl.read_parquet(FOLDER / "data" / f"{name}.parquet")


def test_files_are_small_and_licensed() -> None:
    names = {f"{name}.parquet" for name in TABLES}
    assert {file.name for file in (FOLDER / "data").iterdir()} == names
    assert all(file.stat().st_size < 10_000_000 for file in (FOLDER / "data").iterdir())
    assert "Attribution-ShareAlike 4.0" in (FOLDER / "LICENSE").read_text()[:200]
    assert "CC BY-SA 4.0" in (FOLDER / "README.md").read_text()


def test_histories_end_before_25_april_and_name_known_videos() -> None:
    prior = read("prior_behaviors")
    limit = pl.datetime(2022, 4, 25, time_unit="ms", time_zone="UTC")
    assert prior.select(
        (pl.from_epoch("last_time_ms", "ms").dt.replace_time_zone("UTC") < limit).all()
    ).item()
    assert prior["user_id"].is_unique().all()
    assert (prior["video_id"].list.len() == prior["action"].list.len()).all()
    videos = read("items")["video_id"]
    assert prior["video_id"].explode().is_in(videos.to_list()).all()
    assert read("interactions")["video_id"].is_in(videos.to_list()).all()


def test_raw_repeats_are_kept_for_ingest_to_drop() -> None:
    keys = read("interactions").select("user_id", "video_id", "time_ms")
    assert keys.height - keys.n_unique() == 5_885


@pytest.mark.slow
def test_the_script_makes_these_files(shared_data: Path) -> None:
    script = runpy.run_path(str(FOLDER / "make_data.py"))
    source = shared_data / "kuairand_pure"
    sequences = pd.read_parquet(source / "user_sequences.parquet")
    sequences = sequences.sort_values("user_id", ignore_index=True)
    made = {
        "interactions": script["interactions"](source),
        "prior_behaviors": script["prior_behaviors"](sequences),
        "users": script["users"](source, sequences),
        "items": script["items"](source),
    }
    for name in TABLES:
        assert made[name].equals(pq.read_table(FOLDER / "data" / f"{name}.parquet"))
