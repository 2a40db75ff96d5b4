"""Build the version's feature repository and prove that it serves what training saw."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from features.definition import DatasetDefinition
from features.log import read_types
from features.state import build_state
from features.store.online import OnlineFeatures
from features.store.parity import Difference, Parity, compare, compare_offline
from features.store.probes import Probes, choose_probes, true_examples
from features.store.repository import build_repository
from features.store.settings import open_store, store_errors
from features.store.views import service_name
from features.transform import TransformGraph
from hemix.progress import say
from hemix.verdict import Check, Verdict

USERS = 600
ITEMS_A_USER = 2
LEAST = 500
"""Users and items that must be compared; fewer only when the log has fewer."""
UNKNOWN = 5
OFFLINE_SAMPLE = 100
READ_TIMEOUT_S = 30.0


def run(
    *,
    definition: DatasetDefinition,
    events: Path,
    transform: Path,
    version: str,
    out_repository: Path,
    out_verdict: Path,
    online_store: str = "sqlite",
) -> Verdict:
    """Write the feature repository as of the end of the training window, and the parity verdict.

    Args:
        events: the events artifact.
        transform: the transform artifact.
        version: the model version; its feature service is ``features.store.service_name(version)``.
        online_store: ``sqlite`` or ``redis://host:port/db``.

    Returns:
        The verdict of gate ``parity``: failed checks name feature, key and both values.

    Raises:
        FeatureStoreError: the online store does not answer.
    """
    graph = TransformGraph.load(transform)
    out_repository.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=out_repository.parent, prefix=".parity.", suffix=".scratch"))
    try:
        as_of = definition.split.train.end
        users, items = build_state(definition, events, as_of, work / "state")
        say(f"feature repository: {users} users and {items} items as of {as_of:%Y-%m-%d %H:%M} UTC")
        types = read_types(events)
        service = service_name(version)
        build_repository(
            definition,
            types,
            events,
            work / "state",
            as_of,
            service,
            out_repository,
            online_store=online_store,
        )
        probes = choose_probes(
            definition,
            types,
            events=events,
            state=work / "state",
            as_of=as_of,
            users=USERS,
            items_a_user=ITEMS_A_USER,
            unknown=UNKNOWN,
        )
        examples = true_examples(definition, types, events=events, probes=probes, work=work)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    online = OnlineFeatures(
        out_repository, service, timeout_s=READ_TIMEOUT_S, item_cache_s=0.0, workers=1
    )
    parity = compare(online, graph, probes, examples)
    with store_errors("offline"):
        store = open_store(out_repository)
        offline = compare_offline(store, service, online, probes, OFFLINE_SAMPLE)
    online.close()
    verdict = Verdict.of("parity", _checks(parity, probes, offline, users, items))
    verdict.write(out_verdict)
    say(f"parity: {parity.rows_equal} of {parity.rows} rows equal in {parity.features} columns")
    return verdict


def _checks(
    parity: Parity, probes: Probes, offline: tuple[int, list[Difference]], users: int, items: int
) -> list[Check]:
    offline_rows, offline_differences = offline
    distinct = {item for candidates in probes.items for item in candidates}
    checks = [
        Check.of(
            "users compared",
            len(set(probes.users)),
            min(LEAST, users),
            "at_least",
            sample_size=parity.rows,
            note=f"{UNKNOWN} of them unknown",
        ),
        Check.of(
            "items compared",
            len(distinct),
            min(LEAST, items),
            "at_least",
            sample_size=parity.rows,
            note=f"{UNKNOWN} of them unknown",
        ),
        Check.of(
            "rows equal to the examples",
            parity.rows_equal,
            parity.rows,
            "equal",
            sample_size=parity.rows,
            note=f"{parity.features} raw and transformed columns",
        ),
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
