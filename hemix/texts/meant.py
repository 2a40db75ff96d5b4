"""What was probably meant by a word that is none of those there are: one rule for keys, values and names."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

_SURE = 0.75
"""Likeness of two keys from which one may stand for the other; 1 is the same."""


def meant(word: str, known: Iterable[str], *, most: int = 1, cutoff: float = 0.6) -> list[str]:
    """The known words written most like ``word``, in small letters or large, the closest first."""
    names = {name.casefold(): name for name in sorted(known, reverse=True)}
    return [names[one] for one in difflib.get_close_matches(word.casefold(), names, most, cutoff)]


def meant_keys(key: str, known: Iterable[str], *, most: int = 3) -> list[str]:
    """The dotted keys most like ``key``: as a whole, in the last part, or with a group before it."""
    rated = {name: _likeness(key, name) for name in known}
    best = max(rated.values(), default=0.0)
    close = [name for name, rate in rated.items() if rate >= max(_SURE, best - 0.1)]
    return sorted(close, key=lambda name: (-rated[name], len(name), name))[:most]


def meant_files(path: Path, endings: Iterable[str]) -> list[str]:
    """Files beside ``path`` with one of the endings that are called almost like it."""
    if not path.parent.is_dir():
        return []
    files = [f for f in path.parent.iterdir() if f.suffix.lower() in endings and f.is_file()]
    close = meant(path.stem, {file.stem for file in files}, most=3)
    return [str(file) for stem in close for file in sorted(files) if file.stem == stem]


def did_you_mean(words: list[str]) -> str:
    """For the end of a message, with its full stop: ``; did you mean a, b or c?``."""
    *others, last = words or [""]
    names = f"{', '.join(others)} or {last}" if others else last
    return f"; did you mean {names}?" if words else "."


def _likeness(key: str, name: str) -> float:
    if name.endswith(f".{key}"):
        return 1.0
    own, other = key.rpartition(".")[2], name.rpartition(".")[2]
    # Beside a group that is another's, the last part says less than the whole key.
    return max(_ratio(key, name), _ratio(own, other) - (0.05 if own == key else 0.15))


def _ratio(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.casefold(), other.casefold()).ratio()
