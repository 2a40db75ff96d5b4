"""The last words of a run."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from hemix.files import read_json
from pipelines.folder import RunFolder
from pipelines.record import RunRecord


def print_summary(console: Console, record: RunRecord, folder: RunFolder) -> None:
    """Print what the run made, who serves now, and what to do next."""
    cached = sum(step.cached for step in record.steps)
    lines = [
        f"Version {record.version} in {record.seconds:.0f} s "
        f"({cached} of {len(record.steps)} steps from the cache)."
    ]
    deployment = record.artifact("deploy", "deployment")
    if deployment is not None:
        told = read_json(deployment)
        split = ", ".join(f"{v['version']} {v['share']:.0%}" for v in told["variants"])
        lines.append(f"It was deployed as {told['state']}; traffic then: {split}.")
    lines += [
        f"Record: {folder.record}",
        f"Report: {folder.report}",
        f"Serve it: hemix serve --models {folder.root}",
    ]
    for line in lines:
        console.print(Text(line), soft_wrap=True)
