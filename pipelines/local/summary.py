"""The last words of a run."""

from __future__ import annotations

import json
import shlex

from rich.console import Console
from rich.text import Text

from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord
from hemix.storage import read_bytes


def print_summary(console: Console, record: RunRecord, folder: RunFolder) -> None:
    """Print what the run made, who serves now, and what to do next."""
    cached = sum(step.cached for step in record.steps)
    lines = [
        f"Version {record.version} in {record.seconds:.0f} s "
        f"({cached} of {len(record.steps)} steps from the cache)."
    ]
    place = record.location("deploy", "deployment")
    deployment = read_bytes(place) if place else None
    if deployment is not None:
        told = json.loads(deployment)
        split = ", ".join(f"{v['version']} {v['share']:.0%}" for v in told["variants"])
        lines.append(f"It was deployed as {told['state']}; traffic then: {split}.")
    lines += [
        f"Record: {folder.record}",
        f"Report: {folder.report}",
        f"Serve it: hemix serve --models {shlex.quote(folder.location)}",
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)
