"""Files and folders at a location: a local path or ``s3://bucket/prefix``, by the same functions.

A folder in an object store has no rename. So :func:`upload` writes a folder's files first and, last,
a completion mark beside it, ``.complete/<name>.json``, which names every file with its SHA-256; a
reader starts from the mark, and never takes half a folder for a whole one. A file that several
writers change is replaced by :func:`write_bytes` on condition that it is still what was read.

Keys and endpoint of S3 come from the usual environment: ``AWS_ACCESS_KEY_ID``,
``AWS_SECRET_ACCESS_KEY``, ``AWS_ENDPOINT_URL``, ``AWS_REGION``.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from hemix import s3
from hemix.errors import StorageError
from hemix.files import atomic_file, atomic_folder, locked, sha256_file
from hemix.s3 import ABSENT as ABSENT
from hemix.s3 import Conflict as Conflict
from hemix.s3 import Listed as Listed
from hemix.s3 import Stored as Stored

MARKS = ".complete"
"""Folder beside a stored folder, for its completion mark; outside it, so that its digest is unchanged."""
CACHE = "HEMIX_CACHE"
_CACHE_HINT = "Give this user write permission, or set HEMIX_CACHE to another folder."
_TRANSFERS = 8
"""Files of a folder that are carried at the same time."""


def is_remote(location: str | Path) -> bool:
    """Whether ``location`` is in an object store (``scheme://...``) and not a local path."""
    return "://" in str(location)


def join(location: str | Path, *parts: str) -> str:
    """``location/part/...``; a trailing slash of ``location`` is dropped."""
    base = str(location)
    while base.endswith("/") and not base.endswith("://") and base != "/":
        base = base[:-1]
    return "/".join([base.rstrip("/") if base == "/" else base, *parts])


def parent(location: str | Path) -> str:
    """The location that ``location`` lies in."""
    return join(location).rpartition("/")[0] if is_remote(location) else str(Path(location).parent)


def name_of(location: str | Path) -> str:
    """Last part of a location."""
    return join(location).rpartition("/")[2]


# ---- one file -----------------------------------------------------------------------------------


def fetch(location: str) -> Stored | None:
    """A file and its tag; None when there is none.

    Raises:
        StorageError: the place cannot be read; names the location and what to mend.
    """
    if is_remote(location):
        return s3.fetch(location)
    try:
        data = Path(location).read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{location}: cannot read ({error.strerror}).") from error
    return Stored(data, hashlib.sha256(data).hexdigest())


def read_bytes(location: str) -> bytes | None:
    """A file's bytes; None when there is none. Errors as :func:`fetch`."""
    stored = fetch(location)
    return stored.data if stored else None


def write_bytes(location: str, data: bytes, *, if_match: str | None = None) -> str:
    """Write a file, whole or not at all; returns its tag.

    Args:
        location: path or ``s3://`` location.
        data: the whole content.
        if_match: write only when the file still has this tag, with :data:`ABSENT` only when there is
            none; None writes whatever is there.

    Raises:
        Conflict: the file is not what ``if_match`` says; nothing was written.
        StorageError: the place cannot be written; names the location and what to mend.
    """
    if is_remote(location):
        return s3.write(location, data, if_match)
    path = Path(location)
    with (
        locked(path.parent / f".{path.name}.lock", hint=_CACHE_HINT)
        if if_match is not None
        else contextlib.nullcontext()
    ):
        if if_match is not None:
            there = fetch(location)
            if (there.etag if there else ABSENT) != if_match:
                raise Conflict(location)
        with atomic_file(path) as temporary:
            temporary.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def list_files(location: str) -> list[str]:
    """Names of all files below a folder, relative to it, sorted; empty when there are none."""
    if is_remote(location):
        return s3.names(location)
    root = Path(location)
    return sorted(p.relative_to(root).as_posix() for p in root.rglob("*") if p.is_file())


def listed(location: str) -> list[Listed]:
    """The files below a folder with their sizes and times, by name; empty when there are none."""
    if is_remote(location):
        return s3.listed(location)
    root = Path(location)
    found = []
    for path in sorted(p for p in root.rglob("*") if p.is_file()):
        stat = path.stat()
        modified = datetime.fromtimestamp(stat.st_mtime, UTC)
        found.append(Listed(path.relative_to(root).as_posix(), stat.st_size, modified))
    return found


def remove_each(location: str, names: Iterable[str]) -> dict[str, str]:
    """Remove files below a folder; one that stays does not keep the others. Name -> why it stays.

    Completion marks go first, so that a folder which is half removed is not read.
    """
    stay: dict[str, str] = {}

    def one(name: str) -> None:
        try:
            place = join(location, name)
            s3.delete([place]) if is_remote(location) else Path(place).unlink(missing_ok=True)
        except (StorageError, OSError) as error:
            stay[name] = str(error)

    chosen = list(names)
    marks = [name for name in chosen if MARKS in PurePosixPath(name).parts]
    _each(one, marks)
    _each(one, [name for name in chosen if name not in set(marks)])
    if not is_remote(location):
        for folder in sorted({p for n in chosen for p in PurePosixPath(n).parents}, reverse=True):
            if folder.parts:
                with contextlib.suppress(OSError):  # not empty
                    (Path(location) / folder).rmdir()
    return stay


def remove(location: str) -> None:
    """Remove a file, or a folder with its completion mark; fine when there is none."""
    if is_remote(location):
        s3.delete([_mark(location), location])  # the mark first: half a folder is then not read
        s3.delete([join(location, name) for name in s3.names(location)])
        return
    path = Path(location)
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


# ---- whole folders ------------------------------------------------------------------------------


def is_complete(location: str) -> bool:
    """Whether :func:`upload` of this folder came to its end (a local folder: whether it is there)."""
    if is_remote(location):
        return read_bytes(_mark(location)) is not None
    return Path(location).exists()


def upload(path: Path, location: str, *, replace: bool = False) -> None:
    """Put a local folder (or file) at ``location``; a reader sees all of it or nothing.

    The same content again changes nothing; other content is refused unless ``replace``.

    Raises:
        StorageError: other content is there, or the place cannot be written.
    """
    if not is_remote(location):
        _copy(path, Path(location), replace=replace)
        return

    s3.check(location)
    files = _contents(path)
    mark = json.dumps({"files": files}, indent=1, sort_keys=True).encode()
    there = s3.fetch(_mark(location))
    if there is not None and there.data == mark:
        return
    if there is not None:
        if not replace:
            raise _other_content(location)
        s3.delete([_mark(location)])
    s3.sweep(parent(location))
    targets = {name: join(location, name) if name else location for name in files}
    _each(lambda name: s3.put_file(path / name if name else path, targets[name]), files)
    stale = [name for name in s3.names(location) if name not in files] if path.is_dir() else []
    s3.delete([join(location, name) for name in stale])
    try:
        s3.write(_mark(location), mark, ABSENT)
    except Conflict:
        if read_bytes(_mark(location)) != mark:
            raise _other_content(location) from None


def download(location: str, path: Path) -> Path:
    """Bring a folder (or file) that :func:`upload` put there to ``path``, whole or not at all.

    Raises:
        StorageError: it is not there as a whole, or a file is not the one that was uploaded.
    """
    if not is_remote(location):
        _copy(Path(location), path, replace=True)
        return path
    _bring(location, _files_at(location), path)
    return path


def local_copy(location: str) -> Path:
    """A folder's local, verified copy; a local folder is its own copy.

    Copies lie by content below ``$HEMIX_CACHE`` (default ``~/.cache/hemix``), so that each is brought
    once a machine. Do not write into them.

    Raises:
        StorageError: as :func:`download`.
    """
    if not is_remote(location):
        return Path(location)
    files = _files_at(location)
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()[:24]
    path = cache_folder() / "copies" / digest / name_of(location)
    with locked(path.parent / ".lock", hint=_CACHE_HINT):
        if not _looks_whole(path, files):
            _bring(location, files, path)
    return path


def cache_folder() -> Path:
    """``$HEMIX_CACHE``, or ``~/.cache/hemix``."""
    return Path(os.environ.get(CACHE) or Path.home() / ".cache" / "hemix")


# ---- inside -------------------------------------------------------------------------------------


def _mark(location: str) -> str:
    return join(parent(location), MARKS, f"{name_of(location)}.json")


def _contents(path: Path) -> dict[str, dict[str, Any]]:
    """``relative name -> sha256, size``; a single file has the name ``""``."""
    if not path.exists():
        raise StorageError(f"{path}: there is no such file or folder.")
    paths = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    found = {"" if p == path else p.relative_to(path).as_posix(): p for p in paths}
    return {n: {"sha256": sha256_file(p), "size": p.stat().st_size} for n, p in found.items()}


def _files_at(location: str) -> dict[str, dict[str, Any]]:
    s3.check(location)
    mark = read_bytes(_mark(location))
    if mark is None:
        raise StorageError(
            f"{location}: nothing whole is there (its completion mark is missing).",
            hint="Check the address; an upload that was interrupted must be run again.",
        )
    try:
        files = json.loads(mark)["files"]
        for name in files:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts:
                raise ValueError(f"{name} leads out of the folder")
    except (ValueError, KeyError, TypeError) as error:
        raise StorageError(f"{_mark(location)}: not a completion mark ({error}).") from error
    return dict(files)


def _bring(location: str, files: dict[str, dict[str, Any]], path: Path) -> None:
    if set(files) == {""}:
        with atomic_file(path) as file:
            s3.get_file(location, file)
            _check(file, files[""], location)
        return

    def one(name: str) -> None:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        s3.get_file(join(location, name), target)
        _check(target, files[name], join(location, name))

    with atomic_folder(path) as folder:
        _each(one, files)


def _check(path: Path, expected: dict[str, Any], location: str) -> None:
    if sha256_file(path) != expected["sha256"]:
        raise StorageError(
            f"{location}: not the file that was uploaded (SHA-256 differs).",
            hint="Something else wrote there: upload the folder again.",
        )


def _looks_whole(path: Path, files: dict[str, dict[str, Any]]) -> bool:
    paths = {name: path / name if name else path for name in files}
    return all(p.is_file() and p.stat().st_size == files[n]["size"] for n, p in paths.items())


def _copy(source: Path, target: Path, *, replace: bool) -> None:
    if target.exists() and not replace:
        if _contents(source) != _contents(target):
            raise _other_content(str(target))
        return
    if source.is_file():
        with atomic_file(target) as file:
            shutil.copyfile(source, file)
        return
    if not source.is_dir():
        raise StorageError(f"{source}: there is no such file or folder.")
    with atomic_folder(target, durable=True) as folder:
        shutil.copytree(source, folder, dirs_exist_ok=True)


def _other_content(location: str) -> StorageError:
    return StorageError(
        f"{location}: other content is there already.", hint="Choose another name, or remove it."
    )


def _each(work: Callable[[str], None], names: Iterable[str]) -> None:
    with ThreadPoolExecutor(_TRANSFERS, thread_name_prefix="storage") as pool:
        futures = [pool.submit(work, name) for name in names]
        try:
            for future in futures:
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
