"""Running a pipeline object on this machine: kfp.local, one process a step, cached by content.

kfp.local tells what it does in log lines only. What a run needs to know (which task, how long, from
the cache or not, where its outputs are) is read where kfp runs one task, ``execute_single_task``;
see docs/decisions/0001-local-runs.md.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from components.process import DEBUG, ERROR_MARK, LAUNCHER, error_of
from hemix.errors import HemixError
from hemix.progress import PREFIX
from pipelines.remote import RemoteRoot

MARK = "\x1e"
_INDENT = " " * 4  # what kfp.local prints before each line of a task's output


@dataclass(frozen=True, kw_only=True)
class StepResult:
    """What became of one task; ``artifacts`` maps an output's name to its path or location."""

    name: str
    succeeded: bool
    cached: bool
    seconds: float
    artifacts: dict[str, str] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)


class Observer(Protocol):
    """Who wants to know how a run goes."""

    def started(self, step: str) -> None: ...

    def said(self, step: str, line: str) -> None: ...

    def finished(self, result: StepResult) -> None: ...


@dataclass(frozen=True, kw_only=True)
class LocalRun:
    """Where a pipeline runs: outputs, cache and logs below ``root``.

    With ``remote`` (``s3://...``), ``root`` is scratch and what lasts lives there (``pipelines.remote``).
    """

    root: Path
    logs: Path
    observer: Observer
    remote: str = ""
    debug: bool = False

    def run(self, pipeline: Callable[..., Any], arguments: dict[str, Any]) -> None:
        """Run ``pipeline`` to its end.

        Raises:
            HemixError: the error of the step that failed; for a step that broke without one, the
                step's name and the place of its log.
        """
        from kfp import local

        local.init(
            runner=local.SubprocessRunner(use_venv=False),
            pipeline_root=str(self.root / "artifacts"),
            enable_caching=True,
            cache_root=str(self.root / "cache"),
            raise_on_error=True,
        )
        remote = RemoteRoot(root=self.root, location=self.remote) if self.remote else None
        installed = remote.installed(self.root / "cache") if remote else contextlib.nullcontext()
        self.logs.mkdir(parents=True, exist_ok=True)
        output = _TaskOutput(self.observer, self.logs)
        with _environment(self.debug), installed, _watched(self.observer, output, remote), _quiet():
            try:
                with contextlib.redirect_stdout(output):
                    pipeline(**arguments)
            except RuntimeError as error:
                if output.failed is None:
                    raise
                raise output.failure() from error


class _TaskOutput(io.TextIOBase):
    """Stands in for stdout: sorts what tasks print into logs, progress and errors."""

    def __init__(self, observer: Observer, logs: Path) -> None:
        self._observer = observer
        self._logs = logs
        self._log: Any = None
        self._is_task_line = False
        self._error: HemixError | None = None
        self.step = ""
        self.failed: str | None = None

    def open(self, step: str) -> None:
        self.step = step
        if self.failed is None:  # tasks that do not depend on the failed one may still run
            self._error = None

    def close_step(self, result: StepResult) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None
        if not result.succeeded and self.failed is None:
            self.failed = result.name

    def write(self, text: str) -> int:
        if text == _INDENT:
            self._is_task_line = True
        elif text and self._is_task_line:
            self._is_task_line = False
            self._line(text.rstrip("\n"))
        return len(text)

    def _line(self, line: str) -> None:
        if line.startswith(ERROR_MARK):
            if self.failed is None:
                self._error = error_of(json.loads(line.removeprefix(ERROR_MARK)))
            return
        said = line.startswith(MARK)
        line = line.removeprefix(MARK)
        if self._log is None:
            self._log = self.log_path(self.step).open("w", buffering=1)
        self._log.write(line + "\n")
        if said:
            self._observer.said(self.step, line)

    def log_path(self, step: str) -> Path:
        return self._logs / f"{step}.log"

    def failure(self) -> HemixError:
        if self._error is not None:
            return self._error
        log = self.log_path(self.failed or "")
        lines = log.read_text().strip().splitlines() if log.is_file() else []
        last = next((line.strip() for line in reversed(lines) if line.strip()), "no output")
        return HemixError(
            f"Step {self.failed} broke: {last}", hint=f"Its whole output is in {log}."
        )


@contextlib.contextmanager
def _watched(observer: Observer, output: _TaskOutput, remote: RemoteRoot | None) -> Iterator[None]:
    """Tell ``observer`` of each task that kfp.local executes."""
    from kfp.local.orchestrator import task_executor

    original = task_executor.execute_single_task

    def execute(*, task_name: str, **arguments: Any) -> tuple[dict[str, Any], Any]:
        step = task_name.replace("-", "_")
        observer.started(step)
        output.open(step)
        start = time.monotonic()
        outputs, status = original(task_name=task_name, **arguments)
        # Outputs of a cached task lie in the folder of the run that made them.
        here = f"/{arguments['pipeline_resource_name']}/"
        artifacts = {k: v.uri for k, v in outputs.items() if hasattr(v, "uri")}
        result = StepResult(
            name=step,
            succeeded=status.name == "SUCCESS",
            cached=bool(artifacts) and not any(here in uri for uri in artifacts.values()),
            seconds=time.monotonic() - start,
            artifacts=artifacts,
            parameters={k: v for k, v in outputs.items() if k not in artifacts},
        )
        output.close_step(result)
        if remote:
            remote.keep(output.log_path(step))
            places = {name: remote.of(path) for name, path in artifacts.items()}
            result = replace(result, artifacts=places)
        observer.finished(result)
        return outputs, status

    task_executor.execute_single_task = execute
    try:
        yield
    finally:
        task_executor.execute_single_task = original


@contextlib.contextmanager
def _environment(debug: bool) -> Iterator[None]:
    """What the steps' processes find in their environment."""
    wanted = {
        LAUNCHER: str(os.getpid()),
        PREFIX: MARK,
        DEBUG: "1" if debug else "",
        "PYTHONUNBUFFERED": "1",
        "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2"),
    }
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep kfp's own remarks off the screen: the observer tells the same better."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.setLevel(level)
        sys.stdout.flush()
