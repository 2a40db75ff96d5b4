"""Files of keys and values that people write (definitions, policies, settings, recipes).

All of them are read here, so that all refuse alike: every fault of a file at once, each with its
line, key, value and what to write instead.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from hemix.errors import DefinitionError, HemixError
from hemix.texts.meant import did_you_mean, meant, meant_files
from hemix.texts.plain_yaml import TWICE, Fault, Place, Unreadable, decoded, json_fault, parsed

M = TypeVar("M", bound=BaseModel)
MOST_SHOWN = 20
ENDINGS = (".yaml", ".yml", ".json")
_ANY_VALUE = {"string_type", "int_type", "float_type", "bool_type"}


class Contradictions(ValueError):
    """What a model's own check found: all of it, not the first alone."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(said(fault) for fault in self.faults))


@dataclass(frozen=True, kw_only=True)
class Document:
    """What a file says. ``lines`` maps a place (keys and indices) to its line; 0: not from the file."""

    value: dict[str, Any]
    where: str
    lines: Mapping[Place, int] = field(default_factory=dict)
    faults: tuple[Fault, ...] = ()

    def require(self, *, hint: str = "", error: type[HemixError] = DefinitionError) -> Document:
        """Itself; raises ``error`` when reading it found a fault."""
        if self.faults:
            raise refusal(self.where, self.faults, hint=hint, error=error)
        return self

    def at(self, fault: Fault) -> Fault:
        """The fault with the line of its place, or of the nearest place around it."""
        place = fault.place
        while fault.line is None and place and place not in self.lines:
            place = place[:-1]
        line = fault.line or self.lines.get(place)
        return Fault(place=fault.place, message=fault.message, line=line or None)


def key_of(place: Place) -> str:
    """A place as people write it: ``interactions[0].columns``."""
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def said(fault: Fault) -> str:
    """Key and message."""
    key = key_of(fault.place)
    return f"{key}: {fault.message}" if key else fault.message


def refusal(
    where: str,
    faults: Iterable[Fault],
    *,
    hint: str = "",
    error: type[HemixError] = DefinitionError,
) -> HemixError:
    """One error that tells all faults, in the order of their lines."""
    ordered = sorted(faults, key=lambda fault: fault.line or 0)
    if len(ordered) == 1:
        line = f"line {ordered[0].line}: " if ordered[0].line else ""
        return error(f"{where}: {line}{_sentence(ordered[0])}", hint=hint)
    lines = [
        f"  {f'line {fault.line}: ' if fault.line else ''}{_sentence(fault)}"
        for fault in ordered[:MOST_SHOWN]
    ]
    more = [f"  and {len(ordered) - MOST_SHOWN} more."] if len(ordered) > MOST_SHOWN else []
    return error("\n".join([f"{where}: {len(ordered)} faults:", *lines, *more]), hint=hint)


def _sentence(fault: Fault) -> str:
    text = said(fault)
    return text if text.endswith("?") else f"{text}."


def text_of(path: Path, *, hint: str = "", error: type[HemixError] = DefinitionError) -> str:
    """A file's text; raises ``error`` when it cannot be read or is not text."""
    try:
        return decoded(path.read_bytes())
    except FileNotFoundError as reason:
        near = did_you_mean(meant_files(path, ENDINGS))
        raise error(f"{path}: cannot read ({reason.strerror}){near}", hint=hint) from reason
    except (OSError, ValueError) as reason:
        why = getattr(reason, "strerror", None) or reason
        raise error(f"{path}: cannot read ({why}).", hint=hint) from reason
    except Unreadable as reason:
        raise refusal(str(path), [reason.fault], hint=hint, error=error) from reason


def read(path: Path, what: str, **options: Any) -> Document:
    """A file's document; arguments and errors as those of :func:`parse`."""
    told = {key: options[key] for key in ("hint", "error") if key in options}
    return parse(text_of(path, **told), what, where=str(path), **options)


def parse(
    text: str,
    what: str,
    *,
    where: str,
    may_be_empty: bool = True,
    hint: str = "",
    error: type[HemixError] = DefinitionError,
) -> Document:
    """A text's document. Faults that leave the rest readable wait for :func:`checked`.

    Args:
        text: YAML or JSON.
        what: what it should be, for errors: ``a policy``.
        where: where it comes from, for errors.
        may_be_empty: whether nothing at all is a mapping without keys.
        hint: what to do next.
        error: what is raised when the text is no mapping.
    """
    try:
        reading = parsed(text)
    except Unreadable as reason:
        fault, form = reason.fault, "YAML"
        if where.lower().endswith(".json") and (found := json_fault(text)):
            fault, form = found, "JSON"
        at = f" (line {fault.line})" if fault.line else ""
        raise error(f"{where}: not valid {form}: {fault.message}{at}.", hint=hint) from reason
    value = reading.value
    if value is None and not reading.faults:
        if not may_be_empty:
            raise error(f"{where}: it is empty; {what} is a mapping of keys to values.", hint=hint)
        value = {}
    if not isinstance(value, dict) and not reading.faults:
        kind = "a list" if isinstance(value, list) else f"one value, {_shown(value)}"
        raise error(f"{where}: it holds {kind}; {what} is a mapping of keys to values.", hint=hint)
    document = Document(
        value=value if isinstance(value, dict) else {},
        where=where,
        lines=reading.lines,
        faults=reading.faults,
    )
    return document if isinstance(value, dict) else document.require(hint=hint, error=error)


def value_of(text: str, where: str) -> Any:
    """One value as it stands after ``--set KEY=``: YAML, read as files are.

    Raises:
        DefinitionError: not a YAML value; names ``where`` and the text.
    """
    try:
        reading = parsed(text)
    except Unreadable as error:
        raise DefinitionError(
            f"{where}: {_shown(text)} is not a YAML value ({error.fault.message})."
        ) from error
    if reading.faults:
        faults = [Fault(place=fault.place, message=fault.message) for fault in reading.faults]
        raise refusal(where, faults)
    return reading.value


def checked(
    model: type[M] | TypeAdapter[Any],
    document: Document,
    *,
    over: Mapping[str, Any] | None = None,
    hint: str = "",
    error: type[HemixError] = DefinitionError,
    stand_ins: Mapping[str, Any] | None = None,
    more: Iterable[Fault] = (),
) -> M:
    """What ``model`` makes of a document.

    Args:
        model: a pydantic model, or an adapter of several.
        document: what the file says.
        over: the whole value, where the document was laid over defaults.
        hint: what to do next.
        error: what is raised.
        stand_ins: values for keys without a default, with which the model's own check is made
            when the document's are faulty: its findings are told together with the others.
        more: faults that the caller found.

    Raises:
        HemixError: of the type ``error``; tells every fault.
    """
    value = document.value if over is None else over
    made, found = validated(model, value, stand_ins)
    found = [*found, *more]
    taken = [f.place for f in document.faults if not f.message.startswith(TWICE)]
    own = [f for f in found if not any(f.place[: len(place)] == place for place in taken)]
    if document.faults or found:
        faults = [*document.faults, *map(document.at, own)]
        raise refusal(document.where, faults, hint=hint, error=error)
    return made


def validated(
    model: type[BaseModel] | TypeAdapter[Any],
    value: Any,
    stand_ins: Mapping[str, Any] | None = None,
) -> tuple[Any, list[Fault]]:
    """What ``model`` makes of ``value`` (None when it cannot), and all that is wrong with it."""
    validate = model.validate_python if isinstance(model, TypeAdapter) else model.model_validate
    try:
        made = validate(value)
    except ValidationError as reason:
        found = _faults(reason, model, value)
        whole = _repaired(value, reason, model, stand_ins or {})
        return None, found + (_contradictions(validate, whole, found) if whole is not None else [])
    return made, _truths(value, made, ())


def _truths(value: Any, made: Any, place: Place) -> list[Fault]:
    """Where true or false was taken for a number."""
    if isinstance(value, bool):
        number = isinstance(made, int | float) and not isinstance(made, bool)
        message = f"{str(value).lower()} is not a number"
        return [Fault(place=place, message=message)] if number else []
    found: list[Fault] = []
    if isinstance(value, Mapping):
        for key, member in value.items():
            inner = made.get(key) if isinstance(made, Mapping) else getattr(made, str(key), None)
            found += _truths(member, inner, (*place, key))
    elif isinstance(value, list | tuple) and isinstance(made, list | tuple):
        for index, (member, inner) in enumerate(zip(value, made, strict=False)):
            found += _truths(member, inner, (*place, index))
    return found


def _contradictions(validate: Callable[[Any], Any], value: Any, known: list[Fault]) -> list[Fault]:
    """What the models' own checks say of a value that has been repaired."""
    try:
        validate(value)
    except ValidationError as reason:
        own = [e for e in reason.errors() if _cause(e) is not None]
        found = [fault for e in own for fault in _cause(e).faults]  # type: ignore[union-attr]
        return [fault for fault in found if fault not in known]
    return []


def _cause(error: Any) -> Contradictions | None:
    cause = error.get("ctx", {}).get("error")
    return cause if isinstance(cause, Contradictions) else None


def _faults(reason: ValidationError, model: Any, value: Any) -> list[Fault]:
    found: list[Fault] = []
    messages: dict[Place, list[str]] = {}
    kinds: dict[Place, set[str]] = {}
    every = reason.errors()
    for error in every:
        loc = error["loc"]
        if error["type"] == "too_short" and any(
            len(e["loc"]) > len(loc) and e["loc"][: len(loc)] == loc for e in every
        ):
            continue  # pydantic counts only the elements that are no faults themselves
        if (cause := _cause(error)) is not None:
            found += cause.faults
            continue
        place = _place(error, value)
        message = _message(error, place, model)
        kinds.setdefault(place, set()).add(error["type"])
        if kinds[place] >= _ANY_VALUE:
            given = _shown(error.get("input"))
            messages[place] = [f"a text, a number, true or false is wanted, not {given}"]
            continue
        if message not in messages.setdefault(place, []):
            messages[place].append(message)
    return found + [
        Fault(place=place, message=" or ".join(sorted(texts, key=lambda text: text.endswith("?"))))
        for place, texts in messages.items()
    ]


def _place(error: Any, value: Any) -> Place:
    """The error's place in the document: pydantic's own without the branches of unions."""
    place: Place = ()
    here = value
    for part in error["loc"]:
        listed = isinstance(here, list | tuple) and isinstance(part, int) and part < len(here)
        if listed or (isinstance(here, Mapping) and part in here):
            here, place = here[part], (*place, part)
    return (*place, error["loc"][-1]) if error["type"] == "missing" else place


def _message(error: Any, place: Place, model: Any) -> str:
    kind, given = error["type"], error.get("input")
    if kind == "missing":
        return "it is missing"
    if kind == "extra_forbidden":
        return f"no such key{_nearest(str(place[-1]), _keys(model, error['loc'][:-1]))}"
    if kind == "string_type" and isinstance(given, bool | int | float):
        return f"{_shown(given)} is not text; put it in quotes"
    if kind in ("tuple_type", "list_type"):
        return f"a list is wanted, not {_shown(given)}; write [...]"
    if kind in ("dict_type", "model_type", "model_attributes_type"):
        return f"keys and values are wanted, not {_shown(given)}"
    if kind == "too_short":
        return f"it is empty; give {error['ctx']['min_length']} or more"
    message = str(error["msg"]).removeprefix("Value error, ")
    shown = _shown(given)
    told = isinstance(given, dict | list) or shown in message or kind == "value_error"
    if kind == "literal_error" and isinstance(given, str):
        words = re.findall(r"'([^']*)'", str(error["ctx"]["expected"]))
        shown += did_you_mean([repr(word) for word in meant(given, words)]).removesuffix(".")
    return message if told else f"{message}, not {shown}"


def _nearest(key: str, known: list[str]) -> str:
    if near := meant(key, known):
        return did_you_mean(near)
    return f"; known: {', '.join(known)}" if known else ""


def _shown(value: Any) -> str:
    text = "an empty value" if value is None else repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _keys(model: Any, loc: Place) -> list[str]:
    """The keys of the models at a place of ``model``."""
    here = _models(model)
    for part in loc:
        branch = [m for m in here if m.__name__ == part]
        within = [m.model_fields[str(part)].annotation for m in here if part in m.model_fields]
        here = branch or ([m for kind in within for m in _models(kind)] if within else here)
    return sorted({name for m in here for name in m.model_fields})


def _models(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [m for part in get_args(kind) for m in _models(part)]


def _repaired(value: Any, reason: ValidationError, model: Any, stand_ins: Mapping[str, Any]) -> Any:
    """The value with what is faulty left out or stood in for; None where neither can be done."""
    if not isinstance(model, type) or not isinstance(value, Mapping):
        return None
    whole: dict[str, Any] = copy.deepcopy(dict(value))
    for error in reason.errors():
        place = _place(error, value)
        if not place:
            if _cause(error) is None:
                return None
        elif place[0] in stand_ins:
            whole[str(place[0])] = stand_ins[str(place[0])]
        elif not _mend(whole, error, place, model):
            return None
    return whole


def _mend(whole: dict[str, Any], error: Any, place: Place, model: Any) -> bool:
    here: Any = whole
    for part in place[:-1]:
        if isinstance(here, dict) and part not in here:
            return True  # left out already
        here = here[part]
    last = place[-1]
    if error["type"] == "string_type" and isinstance(error["input"], bool | int | float):
        here[last] = str(error["input"])
        return True
    if error["type"] == "tuple_type" and isinstance(error["input"], str):
        here[last] = [error["input"]]
        return True
    models = _models(model)
    for part in place[:-1]:
        models = [m for o in models if part in o.model_fields
                  for m in _models(o.model_fields[str(part)].annotation)] or models  # fmt: skip
    fields = [m.model_fields[str(last)] for m in models if last in m.model_fields]
    optional = bool(fields) and not any(f.is_required() for f in fields)
    if isinstance(here, dict) and (error["type"] == "extra_forbidden" or optional):
        here.pop(last, None)
        return True
    return False
