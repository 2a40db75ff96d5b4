"""Make the slim KuaiRand-Pure files that ship beside this script.

``python examples/kuairand/make_data.py --source FOLDER`` reads ``val.parquet``, ``test.parquet``,
``user_sequences.parquet``, ``user_features_pure.csv`` and ``video_features_basic_pure.csv`` from
FOLDER and writes ``data/*.parquet`` here. README.md beside it says what was changed.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

HERE = Path(__file__).resolve().parent
LABELS = ("is_click", "is_like", "is_follow", "is_comment", "is_forward", "is_hate", "long_view")
LIMIT_BYTES = 10_000_000


def write(table: pa.Table, path: Path) -> None:
    """Write one zstd file and hold it to the size a repository can carry."""
    pq.write_table(table, path, compression="zstd", compression_level=19)
    size = path.stat().st_size
    print(f"{path.name}: {table.num_rows:,} rows, {size / 1e6:.2f} MB")
    if size > LIMIT_BYTES:
        raise SystemExit(f"{path} is larger than {LIMIT_BYTES / 1e6:.0f} MB")


def interactions(source: Path) -> pa.Table:
    """Both logs as they are, raw repeats included, without derived columns."""
    columns = ["user_id", "video_id", "time_ms", "tab", *LABELS, "play_time_ms"]
    parts = [
        pq.read_table(source / name, columns=columns) for name in ("val.parquet", "test.parquet")
    ]
    table = pa.concat_tables(part.replace_schema_metadata() for part in parts)
    for name in ("tab", *LABELS):
        index = table.schema.get_field_index(name)
        table = table.set_column(index, name, table[name].cast(pa.int8()))
    return table


def prior_events(
    watched: Iterable[int], long_watched: Iterable[int], liked: Iterable[int]
) -> tuple[list[int], list[str]]:
    """One user's videos before the log, oldest first, and the strongest known action of each.

    The watch list holds the last 50 watches. A long-watched video that it lacks was therefore
    watched before all of them, so such videos come first, in their own order.
    """
    watched, long_watched = list(watched), list(long_watched)
    window, long_set, liked_set = set(watched), set(long_watched), set(liked)
    videos = [video for video in long_watched if video not in window] + watched
    actions = [
        "like" if video in liked_set else "long_view" if video in long_set else "click"
        for video in videos
    ]
    return videos, actions


def prior_behaviors(sequences: pd.DataFrame) -> pa.Table:
    """One row per user: parallel lists of videos and actions, and the time none of them passes."""
    events = [
        prior_events(*lists)
        for lists in zip(
            sequences["watch_seq"], sequences["long_watch_seq"], sequences["like_seq"], strict=True
        )
    ]
    return pa.table(
        {
            "user_id": pa.array(sequences["user_id"], pa.int64()),
            "last_time_ms": pa.array(sequences["last_time_ms"], pa.int64()),
            "video_id": pa.array([videos for videos, _ in events], pa.list_(pa.int64())),
            "action": pa.array([actions for _, actions in events], pa.list_(pa.string())),
        }
    )


def whole_numbers(frame: pd.DataFrame) -> pd.DataFrame:
    """Float columns that hold only whole numbers and gaps as nullable integers."""
    for name in frame.select_dtypes("float"):
        if (frame[name].dropna() % 1 == 0).all():
            frame[name] = frame[name].astype("Int64")
    return frame


def users(source: Path, sequences: pd.DataFrame) -> pa.Table:
    """Profiles without the ``*_range`` twins of numeric columns, plus the history's length."""
    frame = whole_numbers(pd.read_csv(source / "user_features_pure.csv"))
    frame = frame.drop(columns=[name for name in frame if str(name).endswith("_range")])
    lengths = sequences.set_index("user_id")["history_len"]
    frame["history_len"] = frame["user_id"].map(lengths).fillna(0).astype("int64")
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()


def items(source: Path) -> pa.Table:
    """Video facts known at upload; ``main_tag`` is the first of a multi-valued ``tag``."""
    frame = whole_numbers(
        pd.read_csv(source / "video_features_basic_pure.csv", dtype={"tag": "string"})
    )
    frame["main_tag"] = frame["tag"].str.split(",").str[0]
    return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata()


def main() -> None:
    """Write the shipped Parquet files from a download of KuaiRand-Pure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True, help="folder of KuaiRand-Pure files")
    parser.add_argument("--output", type=Path, default=HERE / "data")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    sequences = pd.read_parquet(arguments.source / "user_sequences.parquet")
    sequences = sequences.sort_values("user_id", ignore_index=True)
    late = sequences["last_time_ms"] >= pd.Timestamp("2022-04-25").value // 10**6
    if late.any():
        raise SystemExit(f"{late.sum()} histories reach into 25 April: they would leak")
    for name, table in {
        "interactions": interactions(arguments.source),
        "prior_behaviors": prior_behaviors(sequences),
        "users": users(arguments.source, sequences),
        "items": items(arguments.source),
    }.items():
        write(table, arguments.output / f"{name}.parquet")


if __name__ == "__main__":
    main()
