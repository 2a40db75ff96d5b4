"""What the machine would not give (room, rights, open files, memory), whichever library asked for it.

Libraries put the system's error into errors of their own, some as text only (safetensors, sqlite3,
polars, TensorFlow, Beam's workers, Feast). So the whole chain of causes is looked at, and an error
is known by its number or by the system's words for it.
"""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hemix.errors import EnvironmentProblem, HemixError, StorageError

FULL = "The disk is full: free some space and run again; nothing was left half-written."
_HINTS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: "This user's quota is used up: free some space and run again; nothing was left "
    "half-written.",
    errno.EFBIG: "A limit on the size of files was reached: raise it (ulimit -f) and run again.",
    errno.EROFS: "The file system is read-only: choose another output folder.",
    errno.EACCES: "Give this user write permission on the folder.",
    errno.EPERM: "Give this user write permission on the folder.",
    errno.EMFILE: "Too many files are open: raise the limit (ulimit -n) and run again.",
    errno.ENFILE: "Too many files are open on this machine: end other programs and run again.",
    errno.ENAMETOOLONG: "Choose a shorter name, or an output folder with a shorter path.",
    errno.ENOMEM: "Use a machine with more memory, or ask for less: a smaller training.batch_size, "
    "shorter sequences, fewer processes.",
    # sqlite says so of a full disk too.
    errno.EIO: "The disk is full or does not work: free some space or check it, and run again.",
}
RIGHTS = (errno.EACCES, errno.EPERM)
"""Sockets are refused by the same numbers: these count only where a file is named."""
_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
_NEVER_MENDED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
"""These count also where an error was raised while they were handled; others may have been mended."""
_WORDS = {
    **{os.strerror(number): number for number in _HINTS if number not in (*RIGHTS, errno.ENOMEM)},
    "Permission denied (os error 13)": errno.EACCES,  # Rust: polars, safetensors
    "database or disk is full": errno.ENOSPC,  # sqlite
    "disk I/O error": errno.EIO,
    "attempt to write a readonly database": errno.EROFS,
    "unable to open database file": errno.EIO,
    "No usable temporary directory found": errno.ENOSPC,  # Python's tempfile
}
_MEMORY = (
    os.strerror(errno.ENOMEM),
    "can't allocate memory",  # torch
    "out of memory",
    "std::bad_alloc",
)


@dataclass(frozen=True, kw_only=True)
class Limit:
    """A limit that was met: the system's ``number`` and words for it, and the file if one is named."""

    number: int
    words: str
    file: str = ""

    @property
    def hint(self) -> str:
        """What to do about it, one sentence."""
        return _HINTS.get(self.number, "Check the folder and run again.")

    def error(self, path: Path | str | None = None) -> HemixError:
        """The error that tells of it; ``path`` is what was being written, where that is known."""
        if self.number == errno.ENOMEM:
            return EnvironmentProblem(f"The memory ran out ({self.words}).", hint=self.hint)
        if path:
            return StorageError(f"{path}: cannot write ({self.words}).", hint=self.hint)
        hint = self.hint
        if self.number in RIGHTS:
            hint = "Give this user the right to read and write it."
        if self.file:
            verb = "write" if self.number in _WRITING else "read or write"
            return StorageError(f"{self.file}: cannot {verb} ({self.words}).", hint=hint)
        if self.number == errno.ENOSPC:
            hint += f" Temporary files are in {_temporary()} (TMPDIR)."
        return StorageError(f"A file could not be written ({self.words}).", hint=hint)


def limit_of(error: BaseException) -> Limit | None:
    """The limit of the machine behind ``error``; None when it is something else."""
    for found, is_cause in chain(error):
        limit = _limit(found)
        if limit and (is_cause or limit.number in _NEVER_MENDED):
            return limit
    return None


def limit_in(text: str) -> Limit | None:
    """The limit that the words of a library or of another process tell of."""
    for words, number in _WORDS.items():
        if words in text:
            return Limit(number=number, words=words)
    for line in text.splitlines():
        if any(words in line for words in _MEMORY):
            return Limit(number=errno.ENOMEM, words=line.strip()[:200])
    return None


def refusal(error: OSError, path: Path | str) -> HemixError:
    """Why a file or folder could not be written, whatever the reason."""
    limit = limit_of(error) or Limit(
        number=error.errno or 0, words=error.strerror or str(error) or type(error).__name__
    )
    return limit.error(path)


def _limit(error: BaseException) -> Limit | None:
    if isinstance(error, HemixError):
        return None
    try:
        text = str(error)
    except Exception:
        text = ""
    if isinstance(error, MemoryError):
        return Limit(number=errno.ENOMEM, words=text[:200] or type(error).__name__)
    if isinstance(error, OSError) and error.errno in _HINTS:
        file = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes) else ""
        if file or error.errno not in RIGHTS:
            return Limit(number=error.errno, words=os.strerror(error.errno), file=file)
    return limit_in(text)


def chain(error: BaseException) -> Iterator[tuple[BaseException, bool]]:
    """An error, what it came from, and the members of groups, each once.

    True beside those that are named as its cause; False beside what was being handled when it or a
    cause of it was raised.
    """
    waiting, seen = [(error, True)], set[int]()
    while waiting:
        found, is_cause = waiting.pop(0)
        if id(found) in seen:
            continue
        seen.add(id(found))
        yield found, is_cause
        if isinstance(found, BaseExceptionGroup):
            waiting += [(member, is_cause) for member in found.exceptions]
        if found.__cause__ is not None:
            waiting.append((found.__cause__, is_cause))
        elif found.__context__ is not None and not found.__suppress_context__:
            waiting.append((found.__context__, False))


def _temporary() -> str:
    try:
        return tempfile.gettempdir()
    except OSError:
        return os.environ.get("TMPDIR", "/tmp")
