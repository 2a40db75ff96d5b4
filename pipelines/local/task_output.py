"""What the processes of tasks print, sorted into logs and progress; and what a task broke of."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

from hemix.components.process import ERROR_MARK, error_of
from hemix.errors import EnvironmentProblem, HemixError, StorageError, Unforeseen
from hemix.limits import limit_in, refusal
from hemix.unforeseen import last_error

MARK = "\x1e"
_KILLED = {
    signal.SIGKILL: "most likely the memory ran out.",
    signal.SIGTERM: "someone ended it.",
    signal.SIGINT: "someone interrupted it.",
    signal.SIGXCPU: "its limit of processor time was reached.",
}


class TaskOutput:
    """The output of one task after another.

    Args:
        said: is told a step's name and each line that it says of its progress.
        logs: the folder of ``<step>.log``; it is there.

    Attributes:
        failed: the step that failed first.
        broken: what broke the launcher itself while a task ran.
    """

    def __init__(self, said: Callable[[str, str], None], logs: Path) -> None:
        self._said = said
        self._logs = logs
        self._log: TextIO | None = None
        self._unwritten: OSError | None = None
        self._error: HemixError | None = None
        self._status = 0
        self._step = ""
        self.failed: str | None = None
        self.broken: Exception | None = None

    def open(self, step: str) -> None:
        """The task ``step`` begins; its log of an earlier run goes."""
        self._step = step
        self.log_path(step).unlink(missing_ok=True)
        if self.failed is None:  # tasks that do not depend on the failed one may still run
            self._error, self._unwritten, self._status = None, None, 0

    def close(self, succeeded: bool) -> None:
        """The task has ended."""
        if self._log is not None:
            self._log.close()
            self._log = None
        if not succeeded and self.failed is None:
            self.failed = self._step

    def of_process(
        self, full_command: Sequence[str], env_vars: Mapping[str, str] | None = None
    ) -> int:
        """Run a task's process to its end and take in what it prints; returns its exit status.

        In place of kfp.local's own, which breaks on text that is not UTF-8 and forgets the status.
        """
        with subprocess.Popen(
            full_command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
            bufsize=1,
            env={**os.environ, **(env_vars or {})},
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                self._line(line.rstrip("\n"))
            status = process.wait()
        if self.failed is None:
            self._status = status
        return status

    def log_path(self, step: str) -> Path:
        return self._logs / f"{step}.log"

    def failure(self) -> HemixError:
        """What the failed step broke of: its own error, else what its log and its end tell."""
        step, log = self.failed or "", self.log_path(self.failed or "")
        hint = f"Its whole output is in {log}."
        if isinstance(self._error, Unforeseen):
            return HemixError(f"Step {step} broke: {self._error.message}", hint=hint)
        if self._error is not None:
            return self._error
        killed = _signal(self._status)
        if killed in _KILLED:
            return EnvironmentProblem(
                f"Step {step} was ended from outside ({killed.name}): {_KILLED[killed]}", hint=hint
            )
        text = log.read_text(errors="replace") if log.is_file() else ""
        if limit := limit_in(text[-20_000:]):
            return limit.error()
        if self._unwritten is not None:
            return refusal(self._unwritten, log)
        if killed is signal.SIGBUS:
            return StorageError(
                f"Step {step} was ended by SIGBUS: a file in memory could not grow.",
                hint="Most likely /dev/shm or the disk is full: free some space and run again.",
            )
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        how = f"it ended by {killed.name}" if killed else f"it ended with status {self._status}"
        said = f", last saying: {lines[-1]}" if lines else " and no output"
        return HemixError(f"Step {step} broke: {last_error(text) or how + said}", hint=hint)

    def _line(self, line: str) -> None:
        before, mark, record = line.partition(ERROR_MARK)
        if mark:
            if self.failed is None:
                self._error = error_of(json.loads(record))
            line = before
        said = line.startswith(MARK)
        line = line.removeprefix(MARK)
        if line or not mark:
            self._keep(line)
        if said:
            self._said(self._step, line)

    def _keep(self, line: str) -> None:
        """Write a line to the log; a log that cannot be written does not end the step."""
        if self._unwritten is not None:
            return
        try:
            if self._log is None:
                self._log = self.log_path(self._step).open("w", buffering=1, encoding="utf-8")
            self._log.write(line + "\n")
        except OSError as error:
            self._unwritten = error


def _signal(status: int) -> signal.Signals | None:
    """The signal that ended a process, or the process that its shell ran (128 and the signal)."""
    number = -status if status < 0 else status - 128
    return signal.Signals(number) if number in {*signal.Signals} else None
