"""The events artifact as pandas frames that expectations can be stated on.

Missing values become nulls. Facts that need two tables or the split become 0/1 columns:
``in_a_split``, ``user_in_users``, ``item_in_items``, ``user_has_behaviors``, and where behaviours have
sources of their own ``user_had_behaviors``: one that was known before the interaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from hemix.errors import StorageError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import FACTS, MISSING_INT, MISSING_STRING
from hemix.features.split import Window

TABLES = ("interactions", "behaviors", "users", "items")


def read_table(events: Path, table: str) -> pa.Table:
    """All rows of one events table, without partition columns.

    Raises:
        StorageError: a missing or damaged file, named.
    """
    files = sorted((events / table).rglob("*.parquet"))
    if not files:
        raise StorageError(f"{events / table} holds no Parquet file.", hint="Run ingest again.")
    for file in files:
        try:
            pq.read_schema(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise StorageError(
                f"{file} is damaged or truncated: {error}.", hint="Run ingest again."
            ) from error
    return ds.dataset([str(file) for file in files], format="parquet").to_table()


def to_frame(table: pa.Table) -> pd.DataFrame:
    """Missing sentinels as nulls, times as naive UTC."""
    columns: dict[str, pd.Series] = {}
    for name in table.column_names:
        kind = table.schema.field(name).type
        column = table[name]
        if pa.types.is_timestamp(kind):
            columns[name] = pd.Series(column.cast(pa.timestamp("ms")).to_numpy())
        elif pa.types.is_string(kind):
            values = column.dictionary_encode().to_pandas()
            columns[name] = values.cat.remove_categories(
                [c for c in values.cat.categories if c == MISSING_STRING]
            )
        else:
            values = pd.Series(column.to_numpy())
            missing = values == MISSING_INT if pa.types.is_int64(kind) else None
            if missing is not None and missing.any():
                values = values.astype("Int64").mask(missing)  # exact, unlike float64
            columns[name] = values
    return pd.DataFrame(columns)


def add_facts(
    frames: Mapping[str, pd.DataFrame], definition: DatasetDefinition
) -> dict[str, pd.DataFrame]:
    """``frames`` with the 0/1 columns on interactions (and ``item_in_items`` on behaviors)."""
    interactions, behaviors = frames["interactions"], frames["behaviors"]
    windows = definition.split.windows().values()
    inside = np.zeros(len(interactions), bool)
    for window in windows:
        inside |= in_window(interactions, window)
    facts: dict[str, np.ndarray] = {"in_a_split": inside}
    if definition.users:
        facts["user_in_users"] = (
            interactions["user_id"].isin(frames["users"]["user_id"].unique()).to_numpy()
        )
    if definition.items:
        known = frames["items"]["item_id"].unique()
        facts["item_in_items"] = interactions["item_id"].isin(known).to_numpy()
        inside_items = behaviors["item_id"].isin(known).astype("int8")
        behaviors = behaviors.assign(item_in_items=inside_items)
    seen = behaviors["user_id"].unique()
    facts["user_has_behaviors"] = interactions["user_id"].isin(seen).to_numpy()
    if definition.behaviors:
        delay = np.timedelta64(round(definition.sequences.availability_delay), "s")
        first = behaviors.groupby("user_id", observed=True)["event_time"].min()
        known_at = interactions["user_id"].map(first).astype("datetime64[ms]").to_numpy() + delay
        facts["user_had_behaviors"] = known_at < interactions["event_time"].to_numpy()
    assert set(facts) <= set(FACTS), "definitions are kept from using other names"
    return {
        **frames,
        "behaviors": behaviors,
        "interactions": interactions.assign(
            **{name: np.asarray(values, dtype="int8") for name, values in facts.items()}
        ),
    }


def in_window(frame: pd.DataFrame, window: Window) -> np.ndarray:
    """Rows whose event_time lies in ``[start, end)``."""
    time = frame["event_time"].to_numpy()
    start, end = (np.datetime64(t.replace(tzinfo=None), "ms") for t in (window.start, window.end))
    return np.asarray((time >= start) & (time < end))
