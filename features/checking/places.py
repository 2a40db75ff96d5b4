"""Errors of a log that name a key of its definition, with the line that the key stands in."""

from __future__ import annotations

from collections.abc import Mapping

from hemix.errors import HemixError


def at_line(error: HemixError, lines: Mapping[str, int], file: str = "") -> HemixError:
    """The error with its key's line, or that of the nearest key around it; itself when it names none.

    Args:
        error: its message begins with a key of the definition: ``interactions[0].labels.click: ...``.
        lines: as :meth:`DatasetDefinition.lines` gives them.
        file: the definition's, when it is to be named.
    """
    key = error.message.partition(": ")[0]
    while key and key not in lines:
        key = key.rpartition(".")[0]
    if not key:
        return error
    where = f"{file}: " if file else ""
    return type(error)(f"{where}line {lines[key]}: {error.message}", hint=error.hint)
