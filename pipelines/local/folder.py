"""Paths inside a run's output root, a folder of this machine or a prefix on S3."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hemix.errors import DefinitionError, EnvironmentProblem, StorageError
from hemix.files import lock, refuse_patterns
from hemix.lease import lease
from hemix.storage import cache_folder, is_remote, join, local_copy
from hemix.texts.placeholders import refuse_placeholders


@dataclass(frozen=True)
class RunFolder:
    """The root of several runs, with one registry and one live feature store.

    ``root`` is a folder of this machine. With ``remote``, an ``s3://`` prefix, everything that lasts
    is there and ``root`` is scratch space: it may be empty, or removed after the run.
    """

    root: Path
    remote: str = ""

    def __post_init__(self) -> None:
        refuse_patterns(self.root)

    @staticmethod
    def at(location: str | Path) -> RunFolder:
        """The root at a local path or at ``s3://bucket/prefix``.

        The scratch folder of a remote one is below ``$HEMIX_CACHE`` (default ``~/.cache/hemix``).

        Raises:
            EnvironmentProblem: the folder's name is one that TensorFlow takes for a pattern.
            DefinitionError: the location is empty, or would not reach the steps as it is.
        """
        text = str(location)
        if not text.strip():
            raise DefinitionError(
                f"--output {text!r} names no folder.", hint="For example --output runs/mine."
            )
        refuse_placeholders({"--output": text})
        if not is_remote(location):
            return RunFolder(Path(location).resolve())
        remote = join(location)
        name = hashlib.sha256(remote.encode()).hexdigest()[:16]
        return RunFolder((cache_folder() / "runs" / name).resolve(), remote)

    @property
    def location(self) -> str:
        """Where what lasts is: the remote root, or the folder."""
        return self.remote or str(self.root)

    @property
    def registry(self) -> str:
        return join(self.location, "registry")

    @property
    def feature_store(self) -> str:
        return join(self.location, "feature_store")

    @property
    def cache(self) -> str:
        return join(self.location, "cache")

    @property
    def record(self) -> str:
        """The latest run."""
        return join(self.location, "run.json")

    @property
    def report(self) -> str:
        """The latest run's report."""
        return join(self.location, "report.html")

    def checkpoints(self, version: str) -> str:
        return join(self.location, "checkpoints", version)

    def checkpoint(self, version: str) -> str:
        """The file that an interrupted training goes on from."""
        return join(self.checkpoints(version), "checkpoint.safetensors")

    def logs(self, version: str) -> Path:
        """On this machine; a remote root gets a copy of each step's log when the step has ended."""
        return self.root / "logs" / version

    def record_of(self, version: str) -> str:
        return join(self.location, "runs", f"{version}.json")

    def report_of(self, version: str) -> str:
        return join(self.location, "reports", f"{version}.html")

    def here(self, location: str | None) -> Path | None:
        """An artifact on this machine: where it was made, else brought; None for None."""
        if location is None:
            return None
        made = self.root / location.removeprefix(f"{self.location}/")
        return made if self.remote and made.exists() else local_copy(location)

    def check_place(self) -> None:
        """Make nothing, and raise StorageError when a file lies where the root or a folder around it
        has to be."""
        place = next(place for place in (self.root, *self.root.parents) if place.exists())
        if not place.is_dir():
            raise StorageError(
                f"{self.root}: cannot write ({place} is a file, not a folder).",
                hint=self._elsewhere,
            )

    @property
    def _elsewhere(self) -> str:
        if self.remote:
            return "Set HEMIX_CACHE to a folder that can be written."
        return "Choose another folder with --output."

    @contextlib.contextmanager
    def locked(self) -> Iterator[Callable[[], None]]:
        """Hold the root for one run; yields a check that raises when it is held no longer.

        Raises:
            EnvironmentProblem: another run holds it.
            StorageError: the root cannot be written.
        """
        with self._locked_here():
            if not self.remote:
                yield _held
                return
            what = f"Another run is working in {self.remote}"
            with lease(join(self.remote, ".lock.json"), what=what) as held:
                yield held.check

    @contextlib.contextmanager
    def _locked_here(self) -> Iterator[None]:
        held = lock(self.root / ".lock", hint=self._elsewhere, wait=False)
        if held is None:
            raise EnvironmentProblem(
                f"Another run is working in {self.location}.",
                hint="Wait for it to end, or choose another folder with --output.",
            )
        with held:
            yield


def _held() -> None:
    """A file lock is held until it is given back."""
