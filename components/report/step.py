"""Report: everything a run made, on one page that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from hemix.components.evaluate.feature_facts import Features
from hemix.components.evaluate.looked import read_pictures
from hemix.components.evaluate.results import Results
from hemix.components.report.facts import read_facts
from hemix.components.report.lineage import read_deployment, read_model, read_run
from hemix.components.report.page import Page, render
from hemix.components.report.parts import Missing, read, read_gates
from hemix.components.report.training import read_training
from hemix.features.definition import DatasetDefinition
from hemix.files import atomic_file
from hemix.progress import say
from hemix.spec import FeatureSpec


def run(
    *,
    definition: DatasetDefinition,
    events: Path | None,
    verdicts: Mapping[str, Path | None],
    transformed: Path | None,
    transform: Path | None,
    curves: Path | None,
    model: Path | None,
    evaluation: Path | None,
    deployment: Path | None,
    out_report: Path,
    record: str | Path | None = None,
) -> None:
    """Write the page; a part that is None or absent says which gate kept it from being made.

    Args:
        definition: the data set definition.
        events: the events artifact.
        verdicts: gate name -> verdict file.
        transformed: the transformed splits.
        transform: the transform artifact.
        curves: folder of train with ``curves.json``.
        model: model version folder.
        evaluation: folder that evaluate wrote.
        deployment: what deploy wrote, JSON.
        out_report: the HTML file.
        record: ``run.json`` of the run, a path or ``s3://`` location, for the times of its steps; may be left out.

    Raises:
        StorageError: an artifact is damaged, or the page cannot be written.
    """
    gates = read_gates(verdicts)
    page = Page(
        definition=definition,
        gates=gates,
        facts=read(events, lambda path: read_facts(definition, path), gates),
        spec=read(transform, lambda path: FeatureSpec.read(path / "spec.json"), gates),
        training=read(curves, read_training, gates),
        model=read(model, read_model, gates),
        results=read(evaluation, Results.read, gates),
        features=read(evaluation, _features, gates),
        deployment=read(deployment, read_deployment, gates),
        run=read_run(record),
        inside=read_pictures(evaluation) if evaluation is not None else (),
    )
    text = render(page)
    with atomic_file(out_report) as temporary:
        temporary.write_text(text, encoding="utf-8")
    say(f"report: {len(text) / 1000:.0f} kB")


def _features(evaluation: Path) -> Features | Missing:
    found = Features.read(evaluation)
    return found or Missing(reason="Not part of this evaluation: it is of an earlier release.")
