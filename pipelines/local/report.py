"""The report of a run: made by its last step, or, when a gate stopped the run, from what there is."""

from __future__ import annotations

import tempfile
from pathlib import Path

from hemix.components.steps import GATES
from hemix.features.definition import DatasetDefinition
from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord
from hemix.storage import read_bytes, write_bytes


def write_report(definition: DatasetDefinition, record: RunRecord, folder: RunFolder) -> str:
    """Put the run's page at ``report.html`` and ``reports/<version>.html``; returns the former.

    Raises:
        StorageError: the folder cannot be written.
    """
    place = record.location("report", "page")
    page = read_bytes(place) if place else None
    if page is None:
        page = render(definition, record, folder)
    for place in (folder.report_of(record.version), folder.report):
        write_bytes(place, page)
    return folder.report


def render(definition: DatasetDefinition, record: RunRecord, folder: RunFolder) -> bytes:
    """The run's page, made anew from its artifacts, as many as there are."""
    from hemix.components.report.step import run

    def made(step: str, output: str) -> Path | None:
        return folder.here(record.location(step, output))

    verdicts = {gate: made(gate, "verdict") for gate in GATES}
    with tempfile.TemporaryDirectory(prefix="hemix-report-") as scratch:
        told, page = Path(scratch) / "run.json", Path(scratch) / "report.html"
        told.write_bytes(read_bytes(folder.record_of(record.version)) or b"")
        run(
            definition=definition,
            events=made("ingest", "events"),
            verdicts={gate: verdict for gate, verdict in verdicts.items() if verdict},
            transformed=made("transform", "transformed"),
            transform=made("transform", "transform_graph"),
            curves=made("train", "curves"),
            model=made("train", "model"),
            evaluation=made("evaluate", "evaluation"),
            deployment=made("deploy", "deployment"),
            record=told,
            out_report=page,
        )
        return page.read_bytes()
