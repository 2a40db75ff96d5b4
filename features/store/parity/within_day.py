"""Parity at a second, earlier instant, for logs whose training window ends at midnight UTC.

A real-time window of the same day is empty then, and equal sequences would prove nothing about it.
A small repository of the probed users and items, as of some hours before, fills the gap.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.features.definition import DatasetDefinition
from hemix.features.examples.as_of import build_state
from hemix.features.examples.log import read_types
from hemix.features.examples.sequences import DAY_MS
from hemix.features.store.online import OnlineFeatures
from hemix.features.store.parity.bitwise import READ_TIMEOUT_S, Parity, compare
from hemix.features.store.parity.probes import choose_probes, true_examples
from hemix.features.store.repository import build_repository
from hemix.features.transform import TransformGraph

BEFORE = timedelta(hours=6)
USERS = 100
ITEMS_A_USER = 2
SERVICE = "ranker_within_day"


def is_needed(definition: DatasetDefinition, as_of: datetime) -> bool:
    """True when no event of the real-time window can be known at ``as_of``."""
    return (
        definition.sequences.realtime_window == "day"
        and round(as_of.timestamp() * 1000) % DAY_MS == 0
    )


def compare_within_day(
    definition: DatasetDefinition,
    graph: TransformGraph,
    *,
    events: Path,
    as_of: datetime,
    online_store: str,
    work: Path,
) -> Parity:
    """Compare :data:`USERS` requests at :data:`BEFORE` ``as_of``.

    Args:
        definition: the data set definition.
        graph: the transform through which both go.
        events: the events artifact.
        as_of: end of the training window.
        online_store: ``sqlite`` or ``redis://host:port/db``.
        work: an empty folder.

    Raises:
        FeatureStoreError: the online store does not answer.
    """
    instant, types = as_of - BEFORE, read_types(events)
    build_state(definition, events, instant, work / "all")
    probes = choose_probes(
        definition,
        types,
        events=events,
        state=work / "all",
        as_of=instant,
        users=USERS,
        items_a_user=ITEMS_A_USER,
    )
    (work / "state").mkdir()
    for side, keys in (
        ("user", pa.array(probes.users, types.user_id)),
        ("item", pa.array([i for items in probes.items for i in items], types.item_id)),
    ):
        table = pq.read_table(work / "all" / f"{side}s.parquet")
        kept = table.filter(pc.is_in(table[f"{side}_id"], value_set=keys))
        pq.write_table(kept, work / "state" / f"{side}s.parquet")
    build_repository(
        definition,
        types,
        events,
        work / "state",
        instant,
        SERVICE,
        work / "repository",
        online_store=online_store,
    )
    examples = true_examples(definition, types, events=events, probes=probes, work=work / "truth")
    online = OnlineFeatures(
        work / "repository", SERVICE, timeout_s=READ_TIMEOUT_S, item_cache_s=0.0, workers=1
    )
    try:
        return compare(online, graph, probes, examples)
    finally:
        online.close()
