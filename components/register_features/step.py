"""Build the version's feature repository and prove that it serves what training saw."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from hemix.features.definition import DatasetDefinition
from hemix.features.examples.as_of import build_state
from hemix.features.examples.log import read_types
from hemix.features.feature_views import service_name
from hemix.features.store.parity.gate import Known, gate
from hemix.features.store.parity.probes import choose_probes, true_examples
from hemix.features.store.parity.within_day import compare_within_day, is_needed
from hemix.features.store.repository import build_repository, drop_staged_rows
from hemix.features.store.settings import online_settings
from hemix.features.transform import TransformGraph
from hemix.progress import say
from hemix.verdict import Verdict

USERS = 600
ITEMS_A_USER = 2
UNKNOWN = 5


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
        definition: the data set definition.
        events: the events artifact.
        transform: the transform artifact.
        version: the model version; its feature service is ``hemix.features.store.service_name(version)``.
        out_repository: the feature repository's folder.
        out_verdict: the verdict, JSON.
        online_store: ``sqlite`` or ``redis://host:port/db``.

    Returns:
        The verdict of gate ``parity``: failed checks name feature, key and both values.

    Raises:
        DefinitionError: ``online_store`` is no store.
        FeatureStoreError: the online store does not answer.
    """
    online_settings(online_store)  # a mistake in it is named before any work
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
        within_day = None
        if is_needed(definition, as_of):
            (work / "within_day").mkdir()
            within_day = compare_within_day(
                definition,
                graph,
                events=events,
                as_of=as_of,
                online_store=online_store,
                work=work / "within_day",
            )
    finally:
        shutil.rmtree(work, ignore_errors=True)
    verdict = gate(
        out_repository,
        service,
        graph,
        probes,
        examples,
        known=Known(users=users, items=items),
        within_day=within_day,
    )
    verdict.write(out_verdict)
    drop_staged_rows(out_repository)
    return verdict
