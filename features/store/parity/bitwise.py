"""The parity gate: what is served must equal what was trained on, bit for bit, at one instant."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import pyarrow as pa

from hemix.features.store.assemble import assemble
from hemix.features.store.online import OnlineFeatures, plain
from hemix.features.store.parity.compare import (
    concatenate,
    differing_rows,
    from_arrow,
    repeat,
    value_at,
)
from hemix.features.store.parity.probes import Probes
from hemix.features.transform import TransformGraph
from hemix.features.transform.columns import Column
from hemix.progress import progress
from hemix.verdict import Check

Columns = dict[str, Column]
READ_TIMEOUT_S = 30.0
"""The gate is patient: it measures values, not time."""
NOT_SERVED = frozenset({"request_id", "event_time"})


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A feature that differs in ``rows`` rows; the first of them with both values."""

    stage: str
    feature: str
    rows: int
    key: str
    served: Any
    trained: Any

    def check(self, sample_size: int) -> Check:
        """The failed check of this feature; names the key and both values."""
        return Check.of(
            f"{self.stage} {self.feature}: rows that differ",
            self.rows,
            0.0,
            "equal",
            sample_size=sample_size,
            note=f"{self.key}: online {self.served!r}, examples {self.trained!r}",
        )


@dataclass(frozen=True, kw_only=True)
class Parity:
    """What a comparison of ``rows`` requests' candidates found."""

    rows: int
    rows_equal: int
    features: int
    differences: tuple[Difference, ...]


def served_columns(
    online: OnlineFeatures, graph: TransformGraph, probes: Probes
) -> tuple[Columns, Columns]:
    """Raw and transformed columns ``[probes.rows]``, read and transformed request by request."""
    raw: dict[str, list[Column]] = {}
    transformed: dict[str, list[Column]] = {}
    requests = list(
        zip(probes.users, probes.items, probes.contexts, probes.candidates, strict=True)
    )
    for user_id, item_ids, context, candidates in progress(requests, "parity: requests"):
        user, items = online.read(user_id, item_ids)
        columns = assemble(
            graph.definition,
            graph.types,
            user=user,
            items=items,
            context=context,
            candidates=candidates,
            time_ms=probes.time_ms,
        )
        of_user, of_items = graph.apply_request(columns.user, columns.items)
        for found, made in ((columns.user, of_user), (columns.items, of_items)):
            once = found is columns.user
            for into, part in ((raw, found), (transformed, made)):
                for name, column in part.items():
                    rows = repeat(column, len(item_ids)) if once else column
                    into.setdefault(name, []).append(rows)
    return (
        {name: concatenate(parts) for name, parts in raw.items()},
        {name: concatenate(parts) for name, parts in transformed.items()},
    )


def compare(
    online: OnlineFeatures, graph: TransformGraph, probes: Probes, examples: pa.Table
) -> Parity:
    """Compare what ``online`` serves for ``probes`` with their true ``examples``.

    Raw columns are compared with the examples, transformed ones with ``graph.apply_table`` of them.
    """
    raw, transformed = served_columns(online, graph, probes)
    trained = graph.apply_table(examples)
    stages: tuple[tuple[str, Columns, pa.Table], ...] = (
        ("raw", raw, examples),
        ("transformed", transformed, trained),
    )
    names = [field.name for field in examples.schema]
    absent = {
        n for n in names if n not in raw and n not in NOT_SERVED and not n.startswith("label_")
    }
    differences, unequal, features = [], set[int](), 0
    for stage, columns, table in stages:
        for name, column in columns.items():
            features += 1
            truth = from_arrow(table[name])
            rows = differing_rows(column, truth)
            if len(rows):
                first = int(rows[0])
                user_id, item_id = probes.keys[first]
                unequal.update(rows.tolist())
                differences.append(
                    Difference(
                        stage=stage,
                        feature=name,
                        rows=len(rows),
                        key=f"user_id {user_id!r}, item_id {item_id!r}",
                        served=value_at(column, first),
                        trained=value_at(truth, first),
                    )
                )
    assert not absent, f"request columns lack {sorted(absent)}"
    return Parity(
        rows=probes.rows,
        rows_equal=probes.rows - len(unequal),
        features=features,
        differences=tuple(differences),
    )


def compare_offline(
    store: Any, service: str, online: OnlineFeatures, probes: Probes, sample: int
) -> tuple[int, list[Difference]]:
    """Compare point-in-time reads of the offline store with the online rows of ``sample`` pairs.

    Each pair is a known user of the probes with a known item, items in turn: Feast leaves out rows
    that any view lacks, and a user's second row. At the instant both stores must agree; a
    millisecond earlier the offline store must know nothing.

    Args:
        store: the ``feast.FeatureStore`` of the repository.
        service: the feature service.
        online: the online rows.
        probes: whose known users and items are paired.
        sample: how many pairs.

    Returns:
        How many pairs were compared, and the differences.
    """
    import pandas as pd

    user_rows = online.users(probes.users)
    item_rows = online.items(dict.fromkeys(items[0] for items in probes.items))
    users, items = np.flatnonzero(user_rows.known), np.flatnonzero(item_rows.known)
    if not len(users) or not len(items):
        return 0, []
    of_user = users[:sample]
    count, of_item = len(of_user), np.resize(items, len(of_user))
    instant = pd.Timestamp(probes.time_ms, unit="ms", tz="UTC")
    keys = {
        "user_id": [plain(user_rows.keys[n]) for n in of_user],
        "item_id": [plain(item_rows.keys[n]) for n in of_item],
    }
    pairs = list(zip(*keys.values(), strict=True))
    feature_service = store.get_feature_service(service)

    def read(at: pd.Timestamp) -> pa.Table:
        frame = pd.DataFrame({**keys, "event_timestamp": [at] * count})
        return store.get_historical_features(frame, features=feature_service).to_arrow()

    found = {(row["user_id"], row["item_id"]): row for row in read(instant).to_pylist()}
    served = {name: column[of_user] for name, column in user_rows.columns.items()}
    served |= {name: column[of_item] for name, column in item_rows.columns.items()}
    differences = []
    for name, column in served.items():
        offline = [found.get(pair, {}).get(name) for pair in pairs]
        wrong = [n for n in range(count) if not _same(column[n], offline[n])]
        if wrong:
            first = wrong[0]
            key = "user_id {!r}, item_id {!r}".format(*pairs[first])
            differences.append(
                _difference("offline", name, len(wrong), key, column[first], offline[first])
            )
    early = read(instant - timedelta(milliseconds=1)).select(list(served))
    for name in early.column_names:
        leaked = [value for value in early[name].to_pylist() if value is not None]
        if leaked:
            differences.append(
                _difference("too early", name, len(leaked), "a millisecond before", None, leaked[0])
            )
    return count, differences


def _difference(
    stage: str, feature: str, rows: int, key: str, served: Any, trained: Any
) -> Difference:
    return Difference(
        stage=stage, feature=feature, rows=rows, key=key, served=served, trained=trained
    )


def _same(served: Any, offline: Any) -> bool:
    """Feast's offline answer spells NaN as null."""
    if hasattr(served, "tolist"):
        served = served.tolist()
    if isinstance(served, list):
        offline = [] if offline is None else list(offline)
        return len(served) == len(offline) and all(map(_same, served, offline))
    if isinstance(served, float) and served != served:
        return offline is None or offline != offline
    return bool(served == offline) and type(served) is type(offline)
