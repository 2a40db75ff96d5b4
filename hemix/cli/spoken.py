"""What is typed in a shell as ids and context values of a request."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable
from typing import Any

from hemix.errors import RequestError


def spoken_id(text: str, *, as_text: bool) -> int | str:
    """A whole number where ``text`` is exactly how one is written, else the text itself.

    ``007``, ``+5`` and ``1_000`` are texts: each is another id than the number.
    """
    return text if as_text else _whole(text)


def spoken_items(listed: str | None, single: list[str], *, as_text: bool) -> list[int | str]:
    """Candidates of ``--items A,B`` (blanks around commas dropped) and then of each ``--item``.

    Raises:
        RequestError: there is none.
    """
    texts = [item.strip() for item in (listed or "").split(",") if item.strip()]
    if not texts and not single:
        raise RequestError("--items: give candidate item ids, for example --items 12,31,77.")
    return [spoken_id(text, as_text=as_text) for text in (*texts, *single)]


def spoken_pair(text: str) -> tuple[str, Any]:
    """``NAME=VALUE``: a number, a text, or, in double quotes, a JSON text such as ``tab="12"``.

    Raises:
        RequestError: it is not ``NAME=VALUE``.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise RequestError(f"--context {text}: give NAME=VALUE, for example tab=1.")
    return name, _value(value, text)


def spoken_values(text: str) -> tuple[str, list[Any]]:
    """``NAME=A,B,C``: each as :func:`spoken_pair` reads it; None where nothing stands.

    Raises:
        RequestError: it is not ``NAME=VALUE,VALUE,...``.
    """
    name, equals, values = text.partition("=")
    if not equals or not name:
        raise RequestError(f"--candidate {text}: give NAME=VALUE,VALUE, for example price=10,12.5.")
    spoken = [value.strip() for value in re.split(r',(?=(?:[^"]*"[^"]*")*[^"]*$)', values)]
    return name, [_value(value, text, "--candidate") if value else None for value in spoken]


def each_once(option: str, pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs by name; RequestError when ``option`` names one twice."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise RequestError(f"{option} {name}: is given twice; give it once.")
        found[name] = value
    return found


def _whole(text: str) -> int | str:
    if re.fullmatch(r"-?[0-9]{1,20}", text) and str(int(text)) == text:
        return int(text)
    return text


def _value(text: str, pair: str, option: str = "--context") -> int | float | str:
    if text.startswith('"'):
        try:
            found = json.loads(text)
        except ValueError as error:
            raise RequestError(f"{option} {pair}: not a JSON text in double quotes.") from error
        return str(found)
    if re.fullmatch(r"-?[0-9]+\.[0-9]+", text) and math.isfinite(float(text)):
        return float(text)
    return _whole(text)
