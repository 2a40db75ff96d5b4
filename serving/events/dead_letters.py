"""Refused events: one JSON line each, on the disk before their sender is answered.

``dead-letters-YYYY-MM-DDTHH.jsonl`` (UTC) in a folder that several processes may share; a line that a
killed process left unfinished is cut off before the next is written. Its sender was not answered
and sends it again.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hemix.files import writing

_REMEMBERED = 10_000
_TAIL = 1 << 16


@dataclass(frozen=True, kw_only=True)
class DeadLetter:
    """An event as it came, why it was refused, and where it came from (a topic's place, or ``http``)."""

    event: Any
    error: str
    source: str = "http"

    @property
    def key(self) -> str:
        """Names the letter: the same event from the same place has the same key."""
        text = json.dumps([self.event, self.source], sort_keys=True, default=repr)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:24]


class DeadLetters:
    """Writes to a folder, made when absent. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._written: OrderedDict[str, None] = OrderedDict()

    def write(self, letters: Sequence[DeadLetter]) -> None:
        """Write what was not written before, whole lines, all or none; returns when it is on the disk.

        Raises:
            StorageError: it cannot; nothing was written.
        """
        with self._lock:
            fresh = {one.key: one for one in letters if one.key not in self._written}
            if not fresh:
                return
            now = datetime.now(UTC)
            lines = b"".join(_line(key, letter, now) for key, letter in fresh.items())
            path = self.folder / f"dead-letters-{now:%Y-%m-%dT%H}.jsonl"
            with writing(path):
                self.folder.mkdir(parents=True, exist_ok=True)
                _append(path, lines)
            self._written.update(dict.fromkeys(fresh))
            while len(self._written) > _REMEMBERED:
                self._written.popitem(last=False)


def _line(key: str, letter: DeadLetter, now: datetime) -> bytes:
    event = letter.event
    try:  # what every reader of JSON takes
        json.dumps(event, allow_nan=False, ensure_ascii=False, default=repr).encode()
    except ValueError:  # NaN, or half of a surrogate pair: the event's own text
        event = json.dumps(event, default=repr)
    value = {
        "key": key,
        "refused_at": now.isoformat(timespec="milliseconds"),
        "source": letter.source,
        "error": letter.error,
        "event": event,
    }
    return json.dumps(value, default=repr).encode() + b"\n"


def _append(path: Path, data: bytes) -> None:
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = _whole(handle)
        os.ftruncate(handle, size)
        os.lseek(handle, size, os.SEEK_SET)
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(handle, rest) :]
            os.fsync(handle)
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)


def _whole(handle: int) -> int:
    """Where the last whole line ends."""
    end = os.fstat(handle).st_size
    while end > 0:
        start = max(0, end - _TAIL)
        found = os.pread(handle, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0
