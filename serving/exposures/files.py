"""Where exposure lines go: appended to hourly files, or written as objects of their own.

``exposures-YYYY-MM-DDTHH.jsonl`` (UTC) in a folder; in an object store, which cannot append,
``exposures-YYYY-MM-DDTHH-<writer>-<number>.jsonl``. Readers take all of them.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import uuid
from pathlib import Path
from typing import Protocol

from hemix.errors import StorageError
from hemix.storage import is_remote, join, write_bytes


class LineFiles(Protocol):
    """Takes whole lines."""

    flush_s: float

    def write(self, hour: str, data: bytes) -> None:
        """Write lines of one hour, all or none of them; StorageError when it cannot."""


class HourlyFiles:
    """Appends to a file an hour; several processes may share the folder."""

    flush_s = 1.0

    def __init__(self, folder: Path, kind: str = "exposures") -> None:
        self._folder = folder
        self._kind = kind

    def write(self, hour: str, data: bytes) -> None:
        path = self._folder / f"{self._kind}-{hour}.jsonl"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            _append(path, data)
        except OSError as error:
            raise StorageError(f"{path}: cannot write ({error.strerror}).") from error


class HourlyObjects:
    """Writes each flush as an object; flushes are rarer, so that objects are fewer."""

    flush_s = 30.0

    def __init__(self, location: str, kind: str = "exposures") -> None:
        self._location = location
        self._kind = kind
        self._writer = uuid.uuid4().hex[:8]
        self._numbers = itertools.count()

    def write(self, hour: str, data: bytes) -> None:
        name = f"{self._kind}-{hour}-{self._writer}-{next(self._numbers):06d}.jsonl"
        write_bytes(join(self._location, name), data)


def files_at(location: str | Path, kind: str = "exposures") -> LineFiles:
    """The writer for a local folder or an object store's prefix; ``kind`` begins the files' names."""
    if is_remote(str(location)):
        return HourlyObjects(str(location), kind)
    return HourlyFiles(Path(location), kind)


def _append(path: Path, data: bytes) -> None:
    """Append all of ``data`` or none of it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(handle, rest) :]
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
