"""Where the things of a run's output folder are."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hemix.errors import EnvironmentProblem, StorageError


@dataclass(frozen=True)
class RunFolder:
    """An output folder: several runs, one registry, one live feature store."""

    root: Path

    @property
    def registry(self) -> Path:
        return self.root / "registry"

    @property
    def feature_store(self) -> Path:
        return self.root / "feature_store"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def record(self) -> Path:
        """The latest run."""
        return self.root / "run.json"

    @property
    def report(self) -> Path:
        """The latest run's report."""
        return self.root / "report.html"

    def checkpoints(self, version: str) -> Path:
        return self.root / "checkpoints" / version

    def logs(self, version: str) -> Path:
        return self.root / "logs" / version

    def record_of(self, version: str) -> Path:
        return self.root / "runs" / f"{version}.json"

    def report_of(self, version: str) -> Path:
        return self.root / "reports" / f"{version}.html"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the folder for one run.

        Raises:
            EnvironmentProblem: another run holds it.
            StorageError: the folder cannot be written.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            handle = (self.root / ".lock").open("w")
        except OSError as error:
            raise StorageError(
                f"{self.root}: cannot write ({error.strerror}).",
                hint="Choose another folder with --output.",
            ) from error
        with handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise EnvironmentProblem(
                    f"Another run is working in {self.root}.",
                    hint="Wait for it to end, or choose another folder with --output.",
                ) from error
            yield
