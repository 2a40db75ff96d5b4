"""People's texts on their way through templates: they arrive as they were written.

Kubeflow Pipelines replaces ``{{$...}}`` in values, Argo ``{{...}}``, a recurring run
``[[ScheduledTime]]``, Kubernetes ``$(NAME)``. JSON can write these characters as escapes, so that no
template forms and every JSON (and YAML) reader finds the same text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from hemix.errors import DefinitionError
from hemix.texts.documents import value_of

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_MARKS = re.compile(r"\{\{|\}\}|\[\[|\$\(")


def without_placeholders(text: str) -> str:
    """The same JSON with every mark of a template inside its texts escaped."""

    def escaped(string: re.Match[str]) -> str:
        return _MARKS.sub(
            lambda mark: "".join(f"\\u{ord(character):04x}" for character in mark[0]), string[0]
        )

    return _STRING.sub(escaped, text)


def as_parameter(value: Any) -> str:
    """A value as one line of JSON that passes through templates."""
    return without_placeholders(json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def safe_value(text: str, where: str) -> str:
    """A YAML value's text: as it is, or where it holds a template's mark as JSON of the same value.

    Raises:
        DefinitionError: it holds one and is not YAML; names ``where``.
    """
    return as_parameter(value_of(text, where)) if _MARKS.search(text) else text


def refuse_placeholders(arguments: Mapping[str, Any]) -> None:
    """Refuse parameters that a pipeline would not be given as they are.

    Raises:
        DefinitionError: names the parameter and the text.
    """
    for name, value in arguments.items():
        for text in _texts(value):
            found = re.search(r"\{\{|\$\(", text)
            control = next((c for c in text if c < " " and c not in "\n\r\t"), "")
            if found or control:
                raise DefinitionError(
                    f"{name}: {text[:200]!r} holds {(found[0] if found else control)!r}, which "
                    "Kubeflow Pipelines or Kubernetes replaces before a step sees it.",
                    hint="Write a name or value without it.",
                )


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, Mapping):
        return [text for pair in value.items() for member in pair for text in _texts(member)]
    return (
        [t for member in value for t in _texts(member)] if isinstance(value, list | tuple) else []
    )
