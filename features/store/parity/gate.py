"""The verdict of gate ``parity``: enough users and items, every row equal, online and offline."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from hemix.features.store.online import OnlineFeatures
from hemix.features.store.parity.bitwise import (
    READ_TIMEOUT_S,
    Difference,
    Parity,
    compare,
    compare_offline,
)
from hemix.features.store.parity.probes import Probes
from hemix.features.store.settings import open_store, store_errors
from hemix.features.transform import TransformGraph
from hemix.progress import say
from hemix.verdict import Check, Verdict

LEAST = 500
"""Users and items that must be compared; fewer only when the log has fewer."""
OFFLINE_SAMPLE = 100


@dataclass(frozen=True, kw_only=True)
class Known:
    """How many users and items the state holds."""

    users: int
    items: int


def gate(
    repository: Path,
    service: str,
    graph: TransformGraph,
    probes: Probes,
    examples: pa.Table,
    *,
    known: Known,
    within_day: Parity | None = None,
) -> Verdict:
    """Compare a repository's online and offline stores with the true examples of ``probes``.

    Args:
        repository: its folder.
        service: the feature service.
        graph: the transform through which both go.
        probes: the requests.
        examples: their true examples ``[probes.rows]``.
        known: how many users and items the state holds.
        within_day: what :func:`hemix.features.store.parity.within_day.compare_within_day` found, where needed.

    Raises:
        FeatureStoreError: a store does not answer.
    """
    online = OnlineFeatures(
        repository, service, timeout_s=READ_TIMEOUT_S, item_cache_s=0.0, workers=1
    )
    try:
        parity = compare(online, graph, probes, examples)
        with store_errors("offline"):
            offline = compare_offline(
                open_store(repository), service, online, probes, OFFLINE_SAMPLE
            )
    finally:
        online.close()
    say(f"parity: {parity.rows_equal} of {parity.rows} rows equal in {parity.features} columns")
    checks = _checks(parity, probes, offline, known)
    if within_day is not None:
        checks.append(_rows_equal("rows equal within the day", within_day))
        checks += [difference.check(within_day.rows) for difference in within_day.differences]
    return Verdict.of("parity", checks)


def _rows_equal(name: str, parity: Parity) -> Check:
    return Check.of(
        name,
        parity.rows_equal,
        parity.rows,
        "equal",
        sample_size=parity.rows,
        note=f"{parity.features} raw and transformed columns",
    )


def _checks(
    parity: Parity, probes: Probes, offline: tuple[int, list[Difference]], known: Known
) -> list[Check]:
    offline_rows, offline_differences = offline
    items = {item for candidates in probes.items for item in candidates}
    checks = [
        Check.of(
            "users compared",
            len(set(probes.users)),
            min(LEAST, known.users),
            "at_least",
            sample_size=parity.rows,
        ),
        Check.of(
            "items compared",
            len(items),
            min(LEAST, known.items),
            "at_least",
            sample_size=parity.rows,
        ),
        _rows_equal("rows equal to the examples", parity),
        Check.of(
            "offline features that differ",
            len(offline_differences),
            0.0,
            "equal",
            sample_size=offline_rows,
            note="point-in-time reads against the online store",
        ),
    ]
    failed = [*parity.differences, *offline_differences]
    return [*checks, *(difference.check(parity.rows) for difference in failed)]
