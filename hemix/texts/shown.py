"""Texts of others as they are shown: on a terminal nothing but letters, to a shell one word."""

from __future__ import annotations

import shlex

_JOINER = "\u200d"  # holds emoji together


def shown(text: object) -> str:
    """``text`` on one line, with what a terminal would act on, or could not print, as an escape.

    Control characters, ANSI sequences, marks that turn the direction of writing, lone surrogates.

    Example:
        >>> shown("v1 \\x1b[31mred\\n")
        'v1 \\\\x1b[31mred\\\\n'
    """
    return "".join(c if c.isprintable() or c == _JOINER else _escaped(c) for c in str(text))


def shown_lines(text: object) -> str:
    """:func:`shown`, line by line."""
    return "\n".join(map(shown, str(text).split("\n")))


def command(*words: object) -> str:
    """A command that can be pasted into a shell, whatever its words hold."""
    return shlex.join(str(word) for word in words)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode("ascii")
