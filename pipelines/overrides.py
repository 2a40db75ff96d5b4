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
from hemix.features.definition import DatasetDefinition
from hemix.models.training.recipe_files import KEYS, fields_of
from hemix.storage import join, read_bytes
from hemix.texts.documents import value_of
from hemix.texts.fields import keys
from hemix.texts.meant import did_you_mean, meant_keys
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


def definition_keys() -> list[str]:
    """Every dotted key of a definition that is not within a list."""
    return [key.name for key in keys(DatasetDefinition) if "[]" not in key.name]


def check_recipe(
    recipe: str,
    overrides: dict[str, str],
    tasks: tuple[str, ...] | None = None,
    *,
    here: bool = False,
) -> None:
    """Refuse an unknown recipe, field or task now, not when the training starts minutes later.

    ``tasks``: those of the data set. ``here``: the run is on this machine, so that a training on
    several nodes is refused too.
    """
    from hemix.models.training.recipes import recipe_of

    for key in overrides:
        if key.partition(".")[0] not in KEYS:
            known = [*definition_keys(), *fields_of(recipe_of(recipe).model_dump(mode="json"))]
            raise DefinitionError(
                f"--set {key}: neither a definition nor a recipe has this key"
                f"{did_you_mean(meant_keys(key, known))}",
                hint="hemix keys lists all of both.",
            )
    chosen = recipe_of(recipe, overrides)
    training = chosen.training
    if tasks is not None:
        chosen.require_tasks(tasks)
    nodes, warm = training.nodes, training.warm_start
    if here and warm not in ("", "champion") and read_bytes(join(warm, "manifest.json")) is None:
        raise DefinitionError(
            f"training.warm_start: {warm} holds no model version.",
            hint="Name champion, or the folder of a version: registry/versions/VERSION.",
        )
    if here and nodes > 1:
        raise DefinitionError(
            f"training.nodes={nodes} needs a cluster; this run is on one machine.",
            hint="Set training.processes, or submit the run (docs/operator/scaling.md).",
        )


def _place(value: str) -> str:
    """A version's folder as every step finds it; ``champion`` and locations as they are."""
    return value if value in ("", "champion") or "://" in value else os.path.abspath(value)
