"""Files that are either whole or absent: write under a temporary name, then rename.

What is written is as readable as the umask says, whatever wrote it. A file, and a folder that is
``durable``, is on the disk when it gets its name, so that it is whole after a power cut too. What a
killed process leaves is a hidden name ending in ``.tmp``, ``.old`` or ``.scratch``; :func:`sweep` removes it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hemix.errors import EnvironmentProblem, HemixError, StorageError
from hemix.limits import limit_of, refusal

_LEFT = re.compile(r"^\..+\.(\d+-[0-9a-f]{12}|[a-z0-9_]{8})\.(tmp|old|scratch)$")
"""Hidden names of ours; the second form is that of earlier releases and of scratch folders."""


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around work that writes ``path``: what keeps it from that becomes an error that names ``path``.

    Raises:
        StorageError: the disk is full, or another limit was met, whichever library found out; or any
            :class:`OSError`.
        EnvironmentProblem: the memory ran out.
    """
    try:
        yield
    except HemixError:
        raise
    except OSError as error:
        raise refusal(error, path) from error
    except Exception as error:
        if limit := limit_of(error):
            raise limit.error(path) from error
        raise


def refuse_patterns(folder: Path) -> None:
    """Refuse a folder that TensorFlow, which saves transforms there, would take for a pattern.

    Raises:
        EnvironmentProblem: ``*``, ``?``, ``[`` or a backslash stands in its path; names the sign.
    """
    if sign := next((sign for sign in "*?[\\" if sign in str(folder)), ""):
        raise EnvironmentProblem(
            f"{folder}: models cannot be made in or read from a folder with {sign!r} in its path.",
            hint="Choose another folder: TensorFlow takes *, ?, [ and \\ in paths for patterns. "
            "Logs may lie in folders of any name.",
        )


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, or a copy where the file system cannot; ``target`` is replaced.

    Only for files that are replaced by a rename and never written to: both names then keep their content.
    """
    target.unlink(missing_ok=True)
    if source.stat().st_uid == os.geteuid():  # the rights of another's file are not ours to set
        try:
            os.link(source, target)
            return
        except OSError:
            pass  # another disk, or one without links; what else is wrong the copy says
    shutil.copyfile(source, target)


@contextlib.contextmanager
def atomic_file(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it over ``path`` when the block succeeds.

    ``durable``: it is on the disk before it has its name; False for what a run makes again anyway.

    Raises:
        StorageError: the disk is full or not writable; ``path`` is then as it was before.
    """
    temporary: Path | None = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            name = _hidden(path, "tmp")
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o666))
            temporary = name
            mode = stat.S_IMODE(name.stat().st_mode)
            yield temporary
            os.chmod(temporary, mode)  # some libraries write a file of their own over it
            if durable:
                _flush(temporary)
            os.replace(temporary, path)
            if durable:
                _flush(path.parent)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path, *, durable: bool = False) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``; it replaces ``path`` when the block succeeds.

    ``durable``: every file is on the disk first. For what cannot be made again from what stays.

    Raises:
        StorageError: the disk is full or not writable; ``path`` is then as it was before.
    """
    temporary: Path | None = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            name = _hidden(path, "tmp")
            name.mkdir()
            temporary = name
            mode = stat.S_IMODE(name.stat().st_mode)
            yield temporary
            _settle(temporary, mode, durable=durable)
            old: Path | None = None
            if path.exists():
                old = _hidden(path, "old")
                old.mkdir()
                os.rename(path, old / "was")
            os.rename(temporary, path)
            if durable:
                _flush(path.parent)
            if old is not None:
                shutil.rmtree(old, ignore_errors=True)
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def _hidden(path: Path, suffix: str) -> Path:
    """A new name beside ``path``; long names are cut, a file system takes 255 bytes."""
    kept = os.fsencode(path.name)[:200].decode(errors="ignore")
    return path.with_name(f".{kept}.{os.getpid()}-{secrets.token_hex(6)}.{suffix}")


def _settle(folder: Path, mode: int, *, durable: bool) -> None:
    """Give all that is in a new folder the rights that a new folder and a new file have here."""
    for place, _, files in os.walk(folder):
        os.chmod(place, mode)
        for name in files:
            file = Path(place, name)
            if not file.is_symlink():
                os.chmod(file, mode & 0o666)
                if durable:
                    _flush(file)
        if durable:
            _flush(Path(place))


def _flush(path: Path) -> None:
    """Have a file's bytes, or a folder's names, on the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # this file system cannot flush a folder
            raise
    finally:
        os.close(handle)


def sweep(folder: Path, *, older_s: float = 3600.0) -> list[Path]:
    """Remove what killed processes left below ``folder``; what was removed.

    Only hidden names of :func:`atomic_file` and :func:`atomic_folder`, and only when nothing in them
    changed for ``older_s``: a process that is still writing keeps its own.
    """
    removed = []
    before = time.time() - older_s
    for place, folders, files in os.walk(folder):
        for name in [n for n in (*folders, *files) if _LEFT.match(n)]:
            path = Path(place, name)
            if _changed(path) < before:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
                removed.append(path)
        folders[:] = [n for n in folders if not _LEFT.match(n)]
    return removed


def _changed(path: Path) -> float:
    """When a file, or anything below a folder, last changed."""
    times = [path.lstat().st_mtime]
    for place, folders, files in os.walk(path):
        times += [Path(place, name).lstat().st_mtime for name in (*folders, *files)]
    return max(times)


def lock(path: Path, *, hint: str, wait: bool = True) -> IO[str] | None:
    """A file that holds the lock ``path`` until it is closed, or its process ends.

    Args:
        path: the lock; its folder is made when absent, and the file stays.
        hint: what to do where it may not be written.
        wait: until whoever holds it lets go; else None when another does.

    Raises:
        StorageError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = path.open("w")
    except OSError as error:
        limit = limit_of(error)
        raise StorageError(
            f"{path.parent}: cannot write ({error.strerror}).", hint=limit.hint if limit else hint
        ) from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    except BaseException:
        handle.close()
        raise
    return handle


@contextlib.contextmanager
def locked(path: Path, *, hint: str) -> Iterator[None]:
    """One process at a time, by :func:`lock`."""
    held = lock(path, hint=hint)
    assert held is not None, "it was waited for"
    with held:
        yield


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` as indented UTF-8 JSON, atomically."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, sort_keys=False, default=str) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        StorageError: the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise StorageError(f"{path}: cannot read ({error.strerror}).") from error
    except ValueError as error:
        raise StorageError(f"{path}: not valid JSON ({error}).") from error


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def sha256_folder(path: Path) -> dict[str, str]:
    """``relative name -> SHA-256`` of every file under ``path``, sorted by name."""
    return {
        str(file.relative_to(path)): sha256_file(file)
        for file in sorted(path.rglob("*"))
        if file.is_file()
    }


def digest_of(value: Any, length: int = 16) -> str:
    """A short stable hex digest of a JSON-able value."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:length]
