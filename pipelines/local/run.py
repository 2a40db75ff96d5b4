"""One run from plan to record and report."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from hemix.components.steps import GATES, STEPS
from hemix.errors import DefinitionError, GateFailed, HemixError
from hemix.features.checking.places import at_line
from hemix.files import sweep
from hemix.pipelines.local.execution import LocalRun, Observer, StepResult
from hemix.pipelines.local.record import RunRecord, StepRecord
from hemix.pipelines.local.report import write_report
from hemix.pipelines.local.request import RunPlan, RunRequest, checked, plan
from hemix.revision import package_versions
from hemix.storage import join, read_bytes, remove
from hemix.unforeseen import told_as
from hemix.verdict import Verdict


class RunObserver(Observer, Protocol):
    """Who wants to know how a run goes, also before its first step."""

    def told(self, line: str) -> None: ...


def run(request: RunRequest, observer: RunObserver) -> RunRecord:
    """Run the training pipeline here; write ``run.json`` and ``report.html`` whatever comes of it.

    Raises:
        GateFailed: a gate's verdict stopped the run; the message names check, value and threshold.
        HemixError: the request cannot be used, or a step failed.
    """
    found = checked(request)  # before anything is made: what is refused leaves nothing behind
    with request.folder.locked() as check:
        sweep(request.folder.root)
        planned = plan(found)
        against = f"compared with {planned.baseline}" if planned.baseline else "the first"
        observer.told(f"Version {planned.version} of {planned.definition.name}, {against}.")
        if request.fresh:
            _forget(planned)
        run = _Run(planned, observer, check)
        run.save()
        try:
            _execute(planned, run)
        except GateFailed:
            pass  # the stop task; the gate's verdict, which the record holds, says the same
        except DefinitionError as error:  # what a step holds against the file
            placed = at_line(error, planned.lines, str(request.dataset))
            _end_failed(run, str(placed), observer)
            raise placed from error
        except Exception as error:
            told = told_as(error)
            _end_failed(run, str(told), observer)
            raise
        except BaseException:
            _end_failed(run, "interrupted", observer)
            raise
        failed = next((v for v in run.record.verdicts if not v.passed), None)
        left = [step.name for step in run.record.steps if step.status != "succeeded"]
        assert failed or not left, f"no gate failed, yet {left} did not run"
        try:
            run.end("gate_failed" if failed else "succeeded", _why(failed))
            write_report(planned.definition, run.record, request.folder)
            if not failed and not request.folder.remote:
                _remove_checkpoint(request.folder.checkpoint(planned.version), observer)
        finally:
            # The gate is what the user must hear of, even when the report breaks too.
            if failed:
                failed.require()
        return run.record


def _remove_checkpoint(place: str, observer: RunObserver) -> None:
    """Nothing will go on from it; what cannot be removed only takes room."""
    try:
        remove(place)
    except (HemixError, OSError) as error:
        observer.told(f"The checkpoint {place} was not removed: {error}")


def _end_failed(run: _Run, why: str, observer: RunObserver) -> None:
    """Note the end; a record that cannot be written either must not hide what came first."""
    try:
        run.end("failed", why)
    except HemixError as error:
        observer.told(f"The record of the run was not written: {error}")


def _why(failed: Verdict | None) -> str:
    try:
        if failed:
            failed.require()
    except GateFailed as error:
        return str(error)
    return ""


def _execute(planned: RunPlan, run: _Run) -> None:
    from hemix.pipelines.definitions.training import training

    folder = planned.request.folder
    local = LocalRun(
        root=folder.root,
        remote=folder.remote,
        logs=folder.logs(planned.version),
        observer=run,
    )
    local.run(training, planned.arguments)


def _forget(planned: RunPlan) -> None:
    """Drop what earlier runs left, so that every step works anew; the registry stays."""
    folder = planned.request.folder
    remove(folder.cache)
    remove(folder.checkpoints(planned.version))


@dataclass
class _Run:
    """Keeps the record up to date while the steps go by."""

    planned: RunPlan
    observer: Observer
    check: Callable[[], None]

    def __post_init__(self) -> None:
        self._start = time.monotonic()
        planned = self.planned
        request = planned.request
        self.record = RunRecord(
            version=planned.version,
            status="running",
            started=_now(),
            baseline=planned.baseline,
            deployment_key=planned.deployment_key,
            parameters={
                "definition": planned.definition.model_dump(mode="json"),
                "recipe": request.recipe,
                "overrides": request.overrides.recipe,
                "policy": str(request.policy) if request.policy else "default",
                "share": request.share,
                "online_store": planned.arguments["online_store"],
                "runner_options": list(request.runner_options),
                "revision": planned.arguments["revision"],
                "source_fingerprint": planned.arguments["source_fingerprint"],
            },
            steps=[StepRecord(name=name) for name in STEPS],
            packages=package_versions(),
        )

    # ---- Observer ------------------------------------------------------------------------------

    def started(self, step: str) -> None:
        self.check()
        if step not in STEPS:  # a stop task
            return
        self.record.step(step).status = "running"
        self.observer.started(step)

    def said(self, step: str, line: str) -> None:
        self.observer.said(step, line)

    def finished(self, result: StepResult) -> None:
        if result.name not in STEPS:
            return
        step = self.record.step(result.name)
        step.status = "succeeded" if result.succeeded else "failed"
        step.seconds = round(result.seconds, 3)
        step.cached = result.cached
        step.artifacts = result.artifacts
        if result.name in GATES and result.succeeded:
            self.record.verdicts.append(self._verdict(result))
        self.save()
        self.observer.finished(result)

    def _verdict(self, result: StepResult) -> Verdict:
        path = self.planned.request.folder.here(result.artifacts["verdict"])
        assert path is not None
        return Verdict.read(path)

    # ---- the record ----------------------------------------------------------------------------

    def end(self, status: Any, message: str) -> None:
        record = self.record
        for step in record.steps:
            if step.status == "waiting":
                step.status = "skipped"
            elif step.status == "running":
                step.status = "failed"
        record.status = status
        record.message = message
        record.finished = _now()
        evaluation = record.location("evaluate", "evaluation")
        metrics = read_bytes(join(evaluation, "metrics.json")) if evaluation else None
        if metrics is not None:
            record.metrics = json.loads(metrics)
        self.save()

    def save(self) -> None:
        folder = self.planned.request.folder
        self.record.seconds = round(time.monotonic() - self._start, 3)
        self.record.write(folder.record_of(self.record.version), folder.record)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
