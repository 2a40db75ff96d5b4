"""``--set KEY=VALUE``: which values go to the data set definition and which to the recipe.

The rule: a key whose first part is a key of a definition file (``split.train.end``, ``root``,
``sequences.global_length``) changes the definition; every other key (``training.epochs``) is a field
of the recipe.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from hemix.errors import DefinitionError
from hemix.texts.documents import value_of
from hemix.texts.placeholders import safe_value

WARM_START = "training.warm_start"


@dataclass(frozen=True, kw_only=True)
class Overrides:
    """Values to set: ``definition`` parsed as YAML, ``recipe`` as text."""

    definition: dict[str, Any] = field(default_factory=dict)
    recipe: dict[str, str] = field(default_factory=dict)


def parse_overrides(pairs: Iterable[str]) -> Overrides:
    """Sort ``KEY=VALUE`` texts by the rule above; ``root`` and ``training.warm_start`` are relative to
    the working directory.

    Raises:
        DefinitionError: a text without ``=`` or with an empty key.
    """
    from hemix.features.definition import DatasetDefinition

    definition: dict[str, Any] = {}
    recipe: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        key = key.strip()
        if not equals or not key:
            raise DefinitionError(
                f"--set {pair!r}: write KEY=VALUE.", hint="For example --set training.seed=7."
            )
        if key.split(".")[0] not in DatasetDefinition.model_fields:
            text = _place(value.strip()) if key == WARM_START else value.strip()
            recipe[key] = safe_value(text, f"--set {key}")
        elif key == "root":
            definition[key] = value if "://" in value else os.path.abspath(value)
        else:
            definition[key] = value_of(value, f"--set {key}")
    return Overrides(definition=definition, recipe=recipe)


def _place(value: str) -> str:
    """A version's folder as every step finds it; ``champion`` and locations as they are."""
    return value if value in ("", "champion") or "://" in value else os.path.abspath(value)
