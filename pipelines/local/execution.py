"""Running a pipeline object on this machine: kfp.local, one process per step, cached by content.

kfp.local tells what it does in log lines only. What a run needs to know (which task, how long, from
the cache or not, where its outputs are) is read where kfp runs one task, ``execute_single_task``;
see docs/decisions/0001-local-runs.md.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from hemix.components.process import LAUNCHER
from hemix.pipelines.local.remote_root import RemoteRoot
from hemix.pipelines.local.task_output import MARK, TaskOutput
from hemix.progress import PREFIX
from hemix.unforeseen import told_as


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

    With ``remote`` (``s3://...``), ``root`` is scratch and what lasts lives there (``hemix.pipelines.local.remote_root``).
    """

    root: Path
    logs: Path
    observer: Observer
    remote: str = ""

    def run(self, pipeline: Callable[..., Any], arguments: dict[str, Any]) -> None:
        """Run ``pipeline`` to its end.

        Raises:
            HemixError: the error of the step that failed; for a step that broke without one, the
                step's name, what it broke of and the place of its log.
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
        output = TaskOutput(self.observer.said, self.logs)
        with _environment(), installed, _watched(self.observer, output, remote), _quiet():
            try:
                with contextlib.redirect_stdout(io.StringIO()):
                    pipeline(**arguments)
            except Exception as error:
                if output.broken is not None:  # kfp.local may have swallowed it
                    raise told_as(output.broken) from output.broken
                if output.failed is None:
                    raise
                raise output.failure() from error


@contextlib.contextmanager
def _watched(observer: Observer, output: TaskOutput, remote: RemoteRoot | None) -> Iterator[None]:
    """Tell ``observer`` of each task that kfp.local executes, and ``output`` what each prints."""
    from kfp.local import subprocess_task_handler
    from kfp.local.orchestrator import task_executor

    original = task_executor.execute_single_task
    original_process = subprocess_task_handler.run_local_subprocess
    original_replacing = subprocess_task_handler.replace_python_executable

    def execute(**arguments: Any) -> tuple[dict[str, Any], Any]:
        try:
            return execute_watched(**arguments)
        except Exception as error:
            output.broken = output.broken or error
            raise

    def execute_watched(*, task_name: str, **arguments: Any) -> tuple[dict[str, Any], Any]:
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
        output.close(result.succeeded)
        if remote:
            remote.keep(output.log_path(step))
            places = {name: remote.of(path) for name, path in artifacts.items()}
            result = replace(result, artifacts=places)
        observer.finished(result)
        return outputs, status

    task_executor.execute_single_task = execute
    subprocess_task_handler.run_local_subprocess = output.of_process
    subprocess_task_handler.replace_python_executable = with_interpreter
    try:
        yield
    finally:
        task_executor.execute_single_task = original
        subprocess_task_handler.run_local_subprocess = original_process
        subprocess_task_handler.replace_python_executable = original_replacing


def with_interpreter(full_command: list[str], new_executable: str) -> list[str]:
    """A step's command with ``new_executable`` for ``python3``; its arguments stay as they are.

    kfp's own replaces the text in arguments too: in every path below a ``lib/python3.11``.
    """
    script = next(i for i, part in enumerate(full_command) if '"$@"' in part)
    return [
        part.replace("python3", new_executable) if i <= script else part
        for i, part in enumerate(full_command)
    ]


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    """What the steps' processes find in their environment."""
    wanted = {
        LAUNCHER: str(os.getpid()),
        PREFIX: MARK,
        "PYTHONUNBUFFERED": "1",
        "PYTHONIOENCODING": "utf-8:backslashreplace",  # names of files need not be UTF-8
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
