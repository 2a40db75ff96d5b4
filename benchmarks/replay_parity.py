"""Replay parity: the held-out part of a run's log through the endpoint, bit for bit, and at speed.

``python -m benchmarks.replay_parity --requests 20000`` takes a finished run (``hemix run``, ``make
demo``). The endpoint's feature store gets a base of the end of the training window. Then every held-out
event is pushed when it becomes known and every request is asked at its own time, one row of the test
window each; the columns that the endpoint's code assembles are compared with the offline example's.
The scores of the same requests give the served AUC beside the evaluated one. Last, a real endpoint is
asked alone and under 1,000 events per second. Exit code 1 when a column of any request differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.measuring.results import write_result
from benchmarks.replay.columns import address, areas, replay
from benchmarks.replay.load import measure
from benchmarks.replay.stage import Stage
from hemix.progress import say


def run(*, run_folder: Path, store: str, requests: int, folder: Path, load: bool) -> dict[str, Any]:
    """The figures of one store of live events."""
    stage = Stage.of(run_folder, folder)
    found = replay(stage, address(store, folder), requests)
    for name, text in found.differences.items():
        say(f"replay: {name} differs: {text}")
    figures: dict[str, Any] = {
        "store": store.split("://")[0],
        "requests": found.requests,
        "equal": found.equal,
        "columns": found.columns,
        "events": found.events,
        "events_per_s": round(found.events / found.push_s, 1),
        "tasks": areas(stage, found),
    }
    if load:
        figures |= measure(stage, address(store, folder))
    return figures


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 when a row differs."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.replay_parity", description=__doc__)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--run", type=Path, default=Path("runs/demo"), help="a finished run")
    parser.add_argument("--store", default="sqlite", help="sqlite or redis://host:port/db")
    parser.add_argument("--no-load", action="store_true", help="compare only, start no endpoint")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="replay-") as folder:
        figures = run(
            run_folder=options.run,
            store=options.store,
            requests=options.requests,
            folder=Path(folder),
            load=not options.no_load,
        )
    name = "replay_parity" if figures["store"] == "sqlite" else f"replay_parity-{figures['store']}"
    store = figures["store"]
    command = f"python -m benchmarks.replay_parity --requests {options.requests} --store {store}"
    write_result(name, figures, command)
    print(json.dumps(figures))
    return 0 if figures["equal"] == figures["requests"] else 1


if __name__ == "__main__":
    sys.exit(main())
