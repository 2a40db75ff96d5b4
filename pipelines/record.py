"""``run.json``: what a run did, readable by people and programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hemix.errors import StorageError
from hemix.files import atomic_file
from hemix.verdict import Verdict

StepStatus = Literal["waiting", "running", "succeeded", "failed", "skipped"]
RunStatus = Literal["running", "succeeded", "gate_failed", "failed"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StepRecord(_Part):
    """One step: ``seconds`` in this run, ``cached`` when it was taken from an earlier one.

    ``artifacts`` maps an output's name to its path.
    """

    name: str
    status: StepStatus = "waiting"
    seconds: float = 0.0
    cached: bool = False
    artifacts: dict[str, str] = {}


class RunRecord(_Part):
    """A whole run; written when it starts and when it ends.

    ``baseline`` is the version that this one is compared with, chosen when the version was first
    made, so that the same run again is the same comparison.
    """

    version: str
    status: RunStatus
    message: str = ""
    started: str
    finished: str = ""
    seconds: float = 0.0
    baseline: str | None = None
    deployment_key: str = ""
    parameters: dict[str, Any]
    steps: list[StepRecord]
    verdicts: list[Verdict] = []
    metrics: dict[str, Any] = {}
    packages: dict[str, str] = {}

    def step(self, name: str) -> StepRecord:
        """The step called ``name``; KeyError when there is none."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(name)

    def artifact(self, step: str, output: str) -> Path | None:
        """Where a step's output lies; None when the step did not make it."""
        path = self.step(step).artifacts.get(output)
        return Path(path) if path else None

    def write(self, *paths: Path) -> None:
        """Write the record to each path, whole or not at all."""
        text = self.model_dump_json(indent=2) + "\n"
        for path in paths:
            with atomic_file(path) as temporary:
                temporary.write_text(text)

    @staticmethod
    def read(path: Path) -> RunRecord:
        """Read a record.

        Raises:
            StorageError: there is no such file, or it is not a run record.
        """
        try:
            return RunRecord.model_validate_json(path.read_bytes())
        except OSError as error:
            raise StorageError(
                f"{path}: cannot read ({error.strerror}).",
                hint="Run the pipeline first: hemix run.",
            ) from error
        except ValueError as error:
            raise StorageError(f"{path}: not a run record ({error}).") from error
