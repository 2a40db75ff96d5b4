"""Errors that nobody foresaw, in one line: the kind and the first line of what it says."""

from __future__ import annotations

import re
import traceback
from pathlib import Path

from hemix.errors import EnvironmentProblem, HemixError, StorageError, Unforeseen
from hemix.limits import RIGHTS, limit_of

LONGEST = 300
_TRACEBACK = "Traceback (most recent call last):"
_NAMED = re.compile(r"(?P<kind>[A-Za-z_][\w.]*)(?:: (?P<text>.*))?$")
_UNPRINTABLE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]|[\x00-\x08\x0b-\x1f\x7f]")


def told_as(error: BaseException) -> HemixError:
    """What the user hears of ``error``.

    Returns:
        An error of ours as it is, with the hint of a full disk (or the like) where that is its
        cause; for others the limit of the machine behind it, else :class:`Unforeseen`.
    """
    if not isinstance(error, HemixError):
        limit = limit_of(error)
        return limit.error() if limit else Unforeseen(described(error))
    limit = limit_of(error.__cause__) if error.__cause__ is not None else None
    if limit is None or limit.number in RIGHTS or isinstance(error, EnvironmentProblem):
        return error
    return StorageError(error.message, hint=limit.hint)


def described(error: BaseException) -> str:
    """``ValueError: first line``; without a message, where it happened.

    Example:
        >>> described(KeyError("user_id"))
        "KeyError: 'user_id'"
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, SystemExit):
        return f"it ended itself with the exit status {error.code}"
    try:
        text = str(error)
    except Exception:
        text = ""
    if _TRACEBACK in text and (inner := last_error(text)):
        return inner  # what a worker process raised, as text
    kind = type(error).__name__
    line = _first_line(text)
    if line:
        return f"{kind}: {line}"
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return f"{kind}{where}"


def last_error(log: str) -> str | None:
    """The kind and first line of the last error whose traceback a log holds; None without one.

    Errors that Python only noted ("Exception ignored in ...") and what follows a traceback do not
    count.
    """
    lines = [line.rstrip() for line in log.splitlines()]
    found = None
    for number, line in enumerate(lines):
        if not line.lstrip().startswith(_TRACEBACK):
            continue
        if number and lines[number - 1].lstrip().startswith("Exception ignored"):
            continue
        indent = len(line) - len(line.lstrip())
        for later in lines[number + 1 :]:
            if later[: indent + 1].strip():  # not deeper than the traceback's own head
                if match := _NAMED.match(later.strip()):
                    kind, text = match["kind"].rpartition(".")[2], _first_line(match["text"] or "")
                    found = f"{kind}: {text}" if text else kind
                break
    return found


def _first_line(text: str) -> str:
    lines = (_UNPRINTABLE.sub("", line).strip() for line in text.splitlines())
    line = next((line for line in lines if line), "")
    return f"{line[:LONGEST]}..." if len(line) > LONGEST else line
