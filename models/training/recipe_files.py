"""Recipes outside the code: a YAML file for people, one line of JSON for steps on other machines."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from hemix.errors import DefinitionError
from hemix.texts.documents import ENDINGS as READ
from hemix.texts.documents import Document, parse, refusal, text_of
from hemix.texts.meant import did_you_mean, meant, meant_files, meant_keys
from hemix.texts.placeholders import as_parameter
from hemix.texts.plain_yaml import Fault

ENDINGS = (".yaml", ".yml")
KEYS = ("name", "ranker", "model", "training")
FREE = (
    ("training", "task_weights"),
    ("training", "given"),
    ("model", "embedding", "hashed"),
    ("model", "embedding", "widths"),
)
"""Mappings whose keys are not fixed."""


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
    hint = f"A recipe holds {', '.join(KEYS)}; hemix recipes NAME prints one (docs/tuning.md)."
    text = text_of(Path(recipe), hint=hint) if is_file(recipe) else recipe
    document = parse(text, "a recipe", where=where(recipe), may_be_empty=False, hint=hint)
    value = document.value
    faults = [
        Fault(
            place=(key,),
            message=f"no such key{did_you_mean(meant(key, KEYS)).removesuffix('.')}",
        )
        for key in value
        if key not in KEYS
    ]
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


def no_recipe(name: str, shipped: Iterable[str]) -> DefinitionError:
    """There is no recipe ``name``."""
    near = meant(name, shipped) or meant_files(Path(f"{name}.yaml"), READ)
    return DefinitionError(
        f"No recipe is called {name!r}{did_you_mean(near)}",
        hint=f"Known: {', '.join(shipped)}; or name a YAML file.",
    )


def fields_of(recipe: Mapping[str, Any], above: tuple[str, ...] = ()) -> list[str]:
    """The dotted fields of a recipe's ``model_dump`` that may be set, groups among them."""
    found = []
    for key, value in recipe.items():
        place = (*above, key)
        if place not in (("name",), ("ranker",)):
            found.append(".".join(place))
        if isinstance(value, Mapping) and place not in FREE:
            found += fields_of(value, place)
    return found


def assign(recipe: dict[str, Any], key: str, value: Any, what: str) -> None:
    """Set a dotted field of a recipe's ``model_dump``; ``what`` is the recipe, for errors.

    Raises:
        DefinitionError: no such field; names those that may have been meant.
    """
    *parents, last = key.split(".")
    here: Any = recipe
    for parent in parents:
        here = here.get(parent) if isinstance(here, dict) else None
    there = isinstance(here, dict) and (last in here or tuple(parents) in FREE)
    if not there or key in ("name", "ranker"):
        near = meant_keys(key, fields_of(recipe))
        known = sorted(here) if isinstance(here, dict) and parents else ["model", "training"]
        raise DefinitionError(
            f"A {what} has no field {key!r} to set{did_you_mean(near)}",
            hint=f"Known at that place: {', '.join(known)}; hemix keys explains them.",
        )
    here[last] = value


def as_yaml(recipe: Mapping[str, Any], remarks: list[str]) -> str:
    """A recipe's ``model_dump`` as a file's text, ``remarks`` as comments above it."""
    comments = "".join(f"# {line}\n" for line in remarks)
    return comments + yaml.safe_dump(dict(recipe), sort_keys=False, default_flow_style=None)


def explained(recipe: BaseModel, above: str = "") -> Iterator[str]:
    """A recipe as the lines of a file that holds every field, each below what it means.

    Args:
        recipe: it, or a part of it.
        above: blanks before each line.
    """
    values = recipe.model_dump(mode="json")
    for name, field in type(recipe).model_fields.items():
        if name not in values:
            continue
        meaning = " ".join((field.description or "").split())
        width = max(40, 100 - len(above))
        yield from (f"{above}# {line}" for line in textwrap.wrap(meaning, width))
        part = getattr(recipe, name)
        if isinstance(part, BaseModel) and values[name]:
            yield f"{above}{name}:"
            yield from explained(part, f"{above}  ")
        else:
            text = yaml.safe_dump(values[name], width=10**6, default_flow_style=True)
            yield f"{above}{name}: {text.strip().removesuffix('...').rstrip()}"


def as_line(recipe: Mapping[str, Any]) -> str:
    """A recipe's ``model_dump`` as one line of JSON that no pipeline takes for a template."""
    return as_parameter(dict(recipe))
