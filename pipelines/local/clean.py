"""What of a run's output can go, because the next run would make it again: chosen once, then removed.

Of a run that succeeded: its examples, its transformed data and its checkpoint. Of no run that a
record speaks of: whole folders of artifacts. All else stays: registry, live features, exposures,
reports, models, events, evaluations, and whatever a run that did not succeed would go on from.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hemix.errors import DefinitionError, EnvironmentProblem, StorageError
from hemix.pipelines.local.folder import RunFolder
from hemix.pipelines.local.record import RunRecord

REMADE = {("build_examples", "examples"), ("transform", "transformed")}
"""Outputs of steps that only later steps read, and that are most of a run's bytes."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """A file or folder that goes, its bytes, and why it can."""

    path: Path
    size: int
    why: str


def clean(folder: RunFolder, *, dry_run: bool) -> tuple[Removal, ...]:
    """Remove what can go, unless ``dry_run``; what was, or would be, removed.

    Both ways refuse the same and choose the same; links are left alone, and so is what they lead to.

    Raises:
        DefinitionError: the output lies on S3.
        StorageError: no run ended there, or something cannot be removed.
        EnvironmentProblem: a run is working there.
    """
    if folder.remote:
        raise DefinitionError(
            f"{folder.remote}: outputs on S3 are not cleaned.",
            hint="Give its folders artifacts/ and checkpoints/ a lifecycle rule of the bucket.",
        )
    root = folder.root
    records = _records(root)
    with _nobody_works(folder):
        found = tuple(_chosen(root, records))
        for removal in found:
            _require_removable(removal.path)
        if not dry_run:
            _forget(root, found)
            for removal in found:
                _remove(removal.path)
    return found


def _records(root: Path) -> list[RunRecord]:
    places = [*sorted((root / "runs").glob("*.json")), root / "run.json"]
    found = [RunRecord.read(place) for place in places if place.is_file()]
    if not found:
        raise StorageError(f"{root}: no run's output: it holds no run.json.")
    return found


@contextlib.contextmanager
def _nobody_works(folder: RunFolder) -> Iterator[None]:
    """Hold the root's lock as a run does, without writing anything."""
    try:
        handle = (folder.root / ".lock").open()
    except FileNotFoundError:
        yield
        return
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise EnvironmentProblem(
                f"A run is working in {folder.root}.", hint="Wait for it to end."
            ) from error
        yield


def _chosen(root: Path, records: list[RunRecord]) -> Iterator[Removal]:
    unfinished = [r for r in records if r.status != "succeeded"]
    kept = {place for record in unfinished for place in _artifacts(record).values()}
    spoken = {place for record in records for place in _artifacts(record).values()}
    runs = root / "artifacts"
    for run in sorted(runs.iterdir()) if runs.is_dir() else ():
        if not run.is_symlink() and run.is_dir() and not any(p.is_relative_to(run) for p in spoken):
            yield _removal(run, "no run speaks of it any more")
    seen: set[Path] = set()
    for record in records:
        for output, place in _artifacts(record).items():
            if output in REMADE and place not in kept and place not in seen and _ours(root, place):
                seen.add(place)
                yield _removal(place, f"{record.version} is made; a new run makes them again")
    trained = {r.version for r in records} - {r.version for r in unfinished}
    for version in sorted(trained):
        place = Path(RunFolder(root).checkpoint(version))
        if _ours(root, place):
            yield _removal(place, f"{version} is trained")


def _artifacts(record: RunRecord) -> dict[tuple[str, str], Path]:
    return {
        (step.name, output): Path(place)
        for step in record.steps
        for output, place in step.artifacts.items()
    }


def _ours(root: Path, path: Path) -> bool:
    """It is there, inside the root, and neither a link nor behind one."""
    there = path.exists() and path.is_relative_to(root) and path != root
    return there and path.resolve() == root.resolve() / path.relative_to(root)


def _removal(path: Path, why: str) -> Removal:
    files = [Path(at, name) for at, _, names in os.walk(path) for name in names]
    places = files if path.is_dir() else [path]
    return Removal(path=path, size=sum(place.lstat().st_size for place in places), why=why)


def _require_removable(path: Path) -> None:
    folders = [Path(at) for at, _, _ in os.walk(path)] if path.is_dir() else []
    for folder in (path.parent, *folders):
        if not os.access(folder, os.W_OK | os.X_OK):
            raise StorageError(f"{folder}: nothing in it may be removed.")


def _forget(root: Path, removals: tuple[Removal, ...]) -> None:
    """Drop the cache's entries of what goes, first: none may name what is half removed."""
    gone = [str(removal.path) for removal in removals]
    for entry in sorted((root / "cache").glob("*.json")):
        text = entry.read_text(errors="replace")
        if any(f"{place}{end}" in text for place in gone for end in ('"', "/")):
            entry.unlink()


def _remove(path: Path) -> None:
    """Out of its place by one rename, then away: killed in between, it is swept like a scratch folder."""
    aside = path.with_name(f".{path.name}.{os.getpid()}-{uuid.uuid4().hex[:12]}.old")
    try:
        path.rename(aside)
        shutil.rmtree(aside) if aside.is_dir() else aside.unlink()
    except OSError as error:
        raise StorageError(f"{path}: cannot be removed ({error.strerror}).") from error
