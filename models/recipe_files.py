"""Recipes outside the code: a YAML file for people, one line of JSON for steps on other machines."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from hemix.errors import DefinitionError

ENDINGS = (".yaml", ".yml")
KEYS = ("name", "ranker", "model", "training")


def is_file(recipe: str) -> bool:
    """Whether ``recipe`` names a file, not a shipped recipe."""
    return recipe.endswith(ENDINGS)


def is_written(recipe: str) -> bool:
    """Whether ``recipe`` is a file's name or a recipe in one line of JSON."""
    return is_file(recipe) or recipe.startswith("{")


def where(recipe: str) -> str:
    """What error messages call it."""
    return recipe if is_file(recipe) else "The recipe"


def mapping(recipe: str) -> dict[str, Any]:
    """The recipe's keys as they are written; nothing but ``ranker`` must be there.

    Raises:
        DefinitionError: no such file, not YAML, an unknown key, or no ranker; the message names it.
    """
    hint = f"A recipe holds {', '.join(KEYS)}; hemix tune writes one (docs/tuning.md)."
    try:
        text = Path(recipe).read_text() if is_file(recipe) else recipe
        value = yaml.safe_load(text)
    except OSError as error:
        raise DefinitionError(f"{recipe}: cannot read ({error.strerror}).", hint=hint) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = str(error).splitlines()[0]
        raise DefinitionError(f"{where(recipe)}: not YAML ({line}).", hint=hint) from error
    if not isinstance(value, dict):
        raise DefinitionError(f"{where(recipe)}: holds no recipe.", hint=hint)
    if unknown := [key for key in value if key not in KEYS]:
        raise DefinitionError(f"{where(recipe)}: {unknown[0]}: no such key.", hint=hint)
    if "ranker" not in value:
        raise DefinitionError(f"{where(recipe)}: ranker: it is missing.", hint=hint)
    for key in ("model", "training"):
        if not isinstance(value.get(key, {}), dict):
            raise DefinitionError(f"{where(recipe)}: {key}: it holds no fields.", hint=hint)
    name = Path(recipe).stem if is_file(recipe) else str(value["ranker"])
    return {"name": name, **value}


def as_yaml(recipe: Mapping[str, Any], remarks: list[str]) -> str:
    """A recipe's ``model_dump`` as a file's text, ``remarks`` as comments above it."""
    comments = "".join(f"# {line}\n" for line in remarks)
    return comments + yaml.safe_dump(dict(recipe), sort_keys=False, default_flow_style=None)


def as_line(recipe: Mapping[str, Any]) -> str:
    """A recipe's ``model_dump`` as one line of JSON."""
    return json.dumps(dict(recipe), separators=(",", ":"))
