"""A search over a finished run: what it may see of the run, and what it leaves behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hemix.components.report.tuning import StudyNotes, render_study
from hemix.errors import DataError
from hemix.files import atomic_file
from hemix.models.data.reader import row_groups
from hemix.models.tuning.results import read_results, write_best
from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord
from hemix.spec import FeatureSpec

if TYPE_CHECKING:
    from hemix.models.tuning.study import StudyFolder
    from hemix.models.tuning.tune import Rows

REPORT = "report.html"


@dataclass(frozen=True, kw_only=True)
class FinishedRun:
    """A run whose transform step succeeded, and its root."""

    folder: RunFolder
    record: RunRecord


def rows_of(run: str) -> tuple[FinishedRun, Rows]:
    """The rows of the latest run in ``run`` that a search may see: training and validation.

    Raises:
        StorageError: there is no run.
        DataError: the run made no transformed data.
    """
    from hemix.models.tuning.tune import Rows

    folder = RunFolder.at(run)
    record = RunRecord.read(folder.record)
    transformed = folder.here(record.location("transform", "transformed"))
    graph = folder.here(record.location("transform", "transform_graph"))
    if transformed is None or graph is None:
        raise DataError(
            f"{folder.record}: this run made no transformed data.",
            hint="Run the pipeline as far as its transform step first: hemix run.",
        )
    rows = Rows(
        spec=FeatureSpec.read(graph / "spec.json"),
        train=transformed / "train",
        validation=transformed / "validation",
    )
    return FinishedRun(folder=folder, record=record), rows


def write_study(study: StudyFolder, run: FinishedRun, rows: Rows) -> list[str]:
    """Write the best recipe and the page; lines that say what came out.

    Raises:
        StorageError: the study's folder cannot be written.
    """
    results = read_results(study)
    best = write_best(results, study.root)
    notes = StudyNotes(
        dataset=str(run.record.parameters["definition"]["name"]),
        version=run.record.version,
        train_rows=sum(group.rows for group in row_groups([rows.train])),
        validation_rows=sum(group.rows for group in row_groups([rows.validation])),
        best=str(best or ""),
    )
    page = study.root / REPORT
    with atomic_file(page) as temporary:
        temporary.write_text(render_study(results, notes), encoding="utf-8")
    lines = [f"Report: {page}"]
    if results.best is not None and best is not None:
        own = f"; the recipe as it was {results.own.value:.5f}" if results.own else ""
        lines.insert(0, f"Best of {len(results.trials)} trials: {results.top:.5f}{own}.")
        lines.append(f"Recipe: {best}  (hemix run --recipe {best})")
    return lines
