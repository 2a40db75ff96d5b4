"""Train/serve parity on a whole data set: rows compared, rows equal.

``python -m benchmarks.parity --rows 20000`` runs ingest, build_examples and transform (or takes the
artifacts that ``--folder`` holds from before), builds the feature repository as of the end of the
training window and compares requests read from it with the examples of the same instant.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measuring.results import write_result
from hemix.components.build_examples import step as build_examples
from hemix.components.transform import step as transform
from hemix.features.definition import DatasetDefinition
from hemix.features.examples.as_of import build_state
from hemix.features.examples.log import read_types
from hemix.features.store import OnlineFeatures, build_repository
from hemix.features.store.parity.bitwise import compare
from hemix.features.store.parity.probes import choose_probes, true_examples
from hemix.features.transform import TransformGraph
from hemix.progress import say

ITEMS_A_USER = 20


def run(*, dataset: str, rows: int, folder: Path, online_store: str) -> dict[str, float]:
    """Compare ``rows`` request rows (20 items a user, as many as there are) on a data set.

    Returns:
        ``rows_compared``, ``rows_equal``, ``columns`` (raw and transformed), ``users``, ``items``,
        ``rows_stored``, ``build_s`` (the repository), ``compare_s``.
    """
    definition = DatasetDefinition.load(dataset)
    _artifacts(definition, folder)
    events, as_of = folder / "events", definition.split.train.end
    types = read_types(events)
    started = time.perf_counter()
    build_state(definition, events, as_of, folder / "state")
    info = build_repository(
        definition,
        types,
        events,
        folder / "state",
        as_of,
        "ranker_parity",
        folder / "repository",
        online_store=online_store,
    )
    built = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=folder) as work:
        probes = choose_probes(
            definition,
            types,
            events=events,
            state=folder / "state",
            as_of=as_of,
            users=-(-rows // ITEMS_A_USER),
            items_a_user=ITEMS_A_USER,
        )
        examples = true_examples(definition, types, events=events, probes=probes, work=Path(work))
    online = OnlineFeatures(folder / "repository", info.service, timeout_s=30.0, item_cache_s=0.0)
    graph = TransformGraph.load(folder / "transform")
    ready = time.perf_counter()
    parity = compare(online, graph, probes, examples)
    online.close()
    for difference in parity.differences:
        say(difference.check(parity.rows).sentence())
    return {
        "rows_compared": parity.rows,
        "rows_equal": parity.rows_equal,
        "columns": parity.features,
        "users": len(set(probes.users)),
        "items": len({item for items in probes.items for item in items}),
        "rows_stored": sum(info.rows.values()),
        "build_s": round(built - started, 2),
        "compare_s": round(time.perf_counter() - ready, 2),
    }


def _artifacts(definition: DatasetDefinition, folder: Path) -> None:
    """Make events, examples and the transform in ``folder``, those that are not there yet."""
    from hemix.components.ingest import step as ingest

    events, examples = folder / "events", folder / "examples"
    if not events.exists():
        ingest.run(definition=definition, out_events=events)
    if not examples.exists():
        build_examples.run(definition=definition, events=events, out_examples=examples)
    if not (folder / "transform").exists():
        transform.run(
            definition=definition,
            examples=examples,
            out_transformed=folder / "transformed",
            out_transform=folder / "transform",
        )


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 when a row differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.parity", description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--dataset", default="kuairand", help="shipped name or definition file")
    parser.add_argument("--online-store", default="sqlite", help="sqlite or redis://host:port/db")
    parser.add_argument("--folder", type=Path, help="keep and reuse the artifacts here")
    options = parser.parse_args(arguments)
    command = (
        f"python -m benchmarks.parity --rows {options.rows} --dataset {options.dataset}"
        f" --online-store {options.online_store.split('://')[0]}"
    )

    with tempfile.TemporaryDirectory(prefix="parity-") as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        figures = run(
            dataset=options.dataset,
            rows=options.rows,
            folder=folder,
            online_store=options.online_store,
        )
    write_result("parity", figures, command)
    print(json.dumps(figures))
    return 0 if figures["rows_equal"] == figures["rows_compared"] else 1


if __name__ == "__main__":
    sys.exit(main())
