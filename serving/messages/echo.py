"""What a client sent, as an answer or a log line can carry it."""

from __future__ import annotations

import reprlib

from hemix.bounds import MAX_TEXT

_LONGEST = 40
_REPR = reprlib.Repr()
_REPR.maxlevel = 3
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 2 * _LONGEST


def short(value: object) -> str:
    """At most 40 characters of a value, however deep, long or strange it is.

    What cannot be printed is a question mark: half of a surrogate pair, which UTF-8 cannot spell,
    and control characters, which could forge a line of a log.
    """
    if isinstance(value, str):
        text = value[: _LONGEST + 1]
    else:
        try:
            text = _REPR.repr(value)
        except ValueError:  # Python writes out no number of more than 4,300 digits
            text = "a number of thousands of digits"
    if not text.strip():
        return repr(text[:_LONGEST])
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def echoed(value: object) -> object:
    """A client's value as an answer in JSON can hold it: itself where it is short and plain, else :func:`short`."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str) and len(value) <= MAX_TEXT and is_unicode(value):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    return short(value)


def is_deeper(value: object, levels: int) -> bool:
    """True where objects and lists lie in each other more than ``levels`` deep; whatever the depth."""
    holding = [value] if isinstance(value, dict | list) else []
    for _ in range(levels):
        inside = [one.values() if isinstance(one, dict) else one for one in holding]
        holding = [one for values in inside for one in values if isinstance(one, dict | list)]
    return bool(holding)


def is_unicode(text: str) -> bool:
    """False for half of a surrogate pair, which JSON can spell and UTF-8 cannot."""
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)
