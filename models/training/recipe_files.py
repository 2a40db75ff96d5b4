"""Recipes outside the code: a YAML file for people, one line of JSON for steps on other machines."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from hemix.texts.documents import Document, parse, refusal, text_of
from hemix.texts.placeholders import as_parameter
from hemix.texts.plain_yaml import Fault

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


def document_of(recipe: str) -> Document:
    """The recipe's keys as they are written; nothing but ``ranker`` must be there.

    Raises:
        DefinitionError: no such file, not YAML, an unknown key, or no ranker; the message names it.
    """
    hint = f"A recipe holds {', '.join(KEYS)}; hemix tune writes one (docs/tuning.md)."
    text = text_of(Path(recipe), hint=hint) if is_file(recipe) else recipe
    document = parse(text, "a recipe", where=where(recipe), may_be_empty=False, hint=hint)
    value = document.value
    faults = [Fault(place=(key,), message="no such key") for key in value if key not in KEYS]
    if "ranker" not in value:
        faults.append(Fault(place=("ranker",), message="it is missing"))
    for key in ("model", "training"):
        if not isinstance(value.get(key, {}), dict):
            faults.append(Fault(place=(key,), message="it holds no fields"))
    for key in ("name", "ranker"):
        if not isinstance(value.get(key, ""), str):
            faults.append(Fault(place=(key,), message=f"{value[key]!r} is not text; quote it"))
    if faults or document.faults:
        told = [*document.faults, *map(document.at, faults)]
        raise refusal(document.where, told, hint=hint)
    name = Path(recipe).stem if is_file(recipe) else str(value["ranker"])
    return replace(document, value={"name": name, **value})


def as_yaml(recipe: Mapping[str, Any], remarks: list[str]) -> str:
    """A recipe's ``model_dump`` as a file's text, ``remarks`` as comments above it."""
    comments = "".join(f"# {line}\n" for line in remarks)
    return comments + yaml.safe_dump(dict(recipe), sort_keys=False, default_flow_style=None)


def as_line(recipe: Mapping[str, Any]) -> str:
    """A recipe's ``model_dump`` as one line of JSON that no pipeline takes for a template."""
    return as_parameter(dict(recipe))
