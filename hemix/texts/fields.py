"""The fields of configuration classes as texts: dotted key, type, default and meaning."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

Config = type[BaseModel]
REQUIRED = "required"


@dataclass(frozen=True, kw_only=True)
class Key:
    """One field that a user may set; texts are on one line each."""

    name: str
    type: str
    default: str
    meaning: str


def keys(kind: Config, chosen: BaseModel | None = None, prefix: str = "") -> Iterator[Key]:
    """Every field of ``kind`` and, below each, those of the classes that it holds.

    ``training.epochs`` is a field of a field, ``tasks[].name`` one of each element of a list, and
    ``roles.NAME.cpu`` one of each value of a mapping.

    Args:
        kind: the class that a file is read into.
        chosen: values that stand for the defaults, for example those of a recipe.
        prefix: before every key.
    """
    yield from _keys(kind, chosen, prefix, ())


def _keys(
    kind: Config, chosen: BaseModel | None, prefix: str, above: tuple[Config, ...]
) -> Iterator[Key]:
    for name, field in kind.model_fields.items():
        value = getattr(chosen, name) if chosen is not None else None
        if chosen is None and not field.is_required():
            value = field.get_default(call_default_factory=True)
        key = prefix + name
        if isinstance(value, BaseModel):  # of a class below the declared one, perhaps
            yield from _keys(type(value), value, f"{key}.", (*above, kind))
            continue
        yield Key(
            name=key,
            type=type_name(field.annotation),
            default=repr(value) if chosen is not None else default_text(field),
            meaning=" ".join((field.description or "").split()),
        )
        for inside, within in _held(field.annotation, key):
            if inside not in (*above, kind):
                yield from _keys(inside, None, f"{within}.", (*above, kind))


def _held(annotation: Any, key: str) -> Iterator[tuple[Config, str]]:
    """The classes of an annotation, and the key under which one of their objects lies."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, key
        return
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if isinstance(origin, type) and issubclass(origin, dict):
        yield from _held(parts[1], f"{key}.NAME")
        return
    many = isinstance(origin, type) and issubclass(origin, list | tuple)
    for part in parts:
        yield from _held(part, f"{key}[]" if many else key)


def classes(annotation: Any) -> list[Config]:
    """The configuration classes that an annotation names, from left to right."""
    return [kind for kind, _ in _held(annotation, "")]


def default_text(field: FieldInfo) -> str:
    """A field's default as Python writes it; empty where the classes below it have theirs."""
    if field.is_required():
        return REQUIRED
    value = field.get_default(call_default_factory=True)
    return "" if value is PydanticUndefined or isinstance(value, BaseModel) else repr(value)


def type_name(annotation: Any) -> str:
    """A type as plain text: ``int or None``, ``tuple[str, ...]``, ``'adam' or 'adagrad'``."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return type_name(typing.get_args(annotation)[0])
    if origin is typing.Literal:
        return " or ".join(repr(value) for value in typing.get_args(annotation))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(type_name(part) for part in typing.get_args(annotation))
    if origin is not None:
        inside = ", ".join("..." if p is ... else type_name(p) for p in typing.get_args(annotation))
        return f"{origin.__name__}[{inside}]"
    return "None" if annotation is type(None) else getattr(annotation, "__name__", str(annotation))
