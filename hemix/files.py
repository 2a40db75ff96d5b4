"""Files that are either whole or absent: write under a temporary name, then rename."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hemix.errors import EnvironmentProblem, StorageError


def _storage_error(path: Path, error: OSError) -> StorageError:
    hint = {
        errno.ENOSPC: "The disk is full: free some space and run again; nothing was left half-written.",
        errno.EACCES: "Give this user write permission on the folder.",
        errno.EROFS: "The file system is read-only: choose another output folder.",
    }.get(error.errno or 0, "Check the folder and run again.")
    return StorageError(f"{path}: cannot write ({error.strerror}).", hint=hint)


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


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; rename it over ``path`` when the block succeeds.

    Raises:
        StorageError: the disk is full or not writable; ``path`` is then as it was before.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
        os.close(handle)
        temporary = Path(name)
        yield temporary
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except OSError as error:
        raise _storage_error(path, error) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder beside ``path``; it replaces ``path`` when the block succeeds.

    Raises:
        StorageError: the disk is full or not writable; ``path`` is then as it was before.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"))
        yield temporary
        os.chmod(temporary, 0o755)
        old: Path | None = None
        if path.exists():
            old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=".old"))
            os.rename(path, old / "was")
        os.rename(temporary, path)
        if old is not None:
            shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _storage_error(path, error) from error
    finally:
        if temporary is not None and temporary.exists():
            shutil.rmtree(temporary, ignore_errors=True)


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
