"""``run.json``: what a run did, readable by people and programs."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from hemix.errors import StorageError
from hemix.storage import is_remote, local_copy, name_of, parent, read_bytes, write_bytes
from hemix.texts.frozen import parse
from hemix.verdict import Verdict

ARTIFACTS = "/artifacts/"
"""What stands between a run's folder and an artifact's place in it."""
StepStatus = Literal["waiting", "running", "succeeded", "failed", "skipped"]
RunStatus = Literal["running", "succeeded", "gate_failed", "failed"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid")


class StepRecord(_Part):
    """One step: ``seconds`` in this run, ``cached`` when it was taken from an earlier one.

    ``artifacts`` maps an output's name to its path, or its location when the root is on S3.
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

    def location(self, step: str, output: str) -> str | None:
        """Where a step's output lies; None when the step did not make it."""
        return self.step(step).artifacts.get(output)

    def artifact(self, step: str, output: str) -> Path | None:
        """A step's output on this machine, brought when it lies on S3; None when there is none."""
        place = self.location(step, output)
        return local_copy(place) if place else None

    def write(self, *places: str | Path) -> None:
        """Write the record to each place, whole or not at all."""
        text = self.model_dump_json(indent=2) + "\n"
        for place in places:
            write_bytes(str(place), text.encode())

    @staticmethod
    def read(place: str | Path) -> RunRecord:
        """Read a record; artifacts lie below the folder that holds it, also when it was moved.

        Raises:
            StorageError: there is no such file, or it is not a run record.
        """
        data = read_bytes(str(place))
        if data is None:
            raise StorageError(
                f"{place}: there is no such file.", hint="Run the pipeline first: hemix run."
            )
        record = parse(RunRecord, data, where=str(place), what="a run record")
        root = _root_of(str(place))
        for step in record.steps:
            step.artifacts = {name: _below(root, at) for name, at in step.artifacts.items()}
        return record


def _root_of(place: str) -> str:
    """The run's folder: of ``run.json``, or of ``runs/<version>.json``."""
    folder = parent(place if is_remote(place) else Path(place).absolute())
    return parent(folder) if name_of(place) != "run.json" else folder


def _below(root: str, artifact: str) -> str:
    """Where an artifact is that was made below another root, perhaps this one's before a move."""
    _, found, rest = artifact.rpartition(ARTIFACTS)
    here = f"{root}{ARTIFACTS}{rest}"
    there = not is_remote(root) and not is_remote(artifact) and Path(here).exists()
    return here if found and there else artifact
