"""The report of a run: made by its last step, or, when a gate stopped the run, from what there is."""

from __future__ import annotations

from pathlib import Path

from features.definition import DatasetDefinition
from hemix.files import atomic_file
from pipelines.folder import RunFolder
from pipelines.record import RunRecord
from pipelines.steps import GATES


def write_report(definition: DatasetDefinition, record: RunRecord, folder: RunFolder) -> Path:
    """Put the run's page at ``report.html`` and ``reports/<version>.html``; returns the former.

    Raises:
        StorageError: the folder cannot be written.
    """
    page = record.artifact("report", "page")
    if page is None or not page.is_file():
        render(definition, record, folder)
        page = folder.report_of(record.version)
    content = page.read_bytes()
    for path in {folder.report_of(record.version), folder.report} - {page}:
        with atomic_file(path) as temporary:
            temporary.write_bytes(content)
    return folder.report


def render(definition: DatasetDefinition, record: RunRecord, folder: RunFolder) -> None:
    """Make ``reports/<version>.html`` anew from the run's artifacts, as many as there are."""
    from components.report.step import run

    verdicts = {gate: record.artifact(gate, "verdict") for gate in GATES}
    run(
        definition=definition,
        events=record.artifact("ingest", "events"),
        verdicts={gate: verdict for gate, verdict in verdicts.items() if verdict},
        transformed=record.artifact("transform", "transformed"),
        transform=record.artifact("transform", "transform_graph"),
        curves=record.artifact("train", "curves"),
        model=record.artifact("train", "model"),
        evaluation=record.artifact("evaluate", "evaluation"),
        deployment=record.artifact("deploy", "deployment"),
        record=folder.record_of(record.version),
        out_report=folder.report_of(record.version),
    )
