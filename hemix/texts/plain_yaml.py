"""YAML and JSON that people write, read as it looks: nothing is dropped, guessed or expanded.

Plain scalars mean what YAML 1.2 says (only ``true`` and ``false`` are truth values; ``NO``, ``on``,
``12:30`` and ``2024-03-01`` are texts, for the field they stand in to understand). What YAML 1.1 and
1.2 read as different numbers (``010``, ``1_000``) is refused, as is a key that is given twice, a tag, a
second document, and what expands or nests beyond all use. Keys are always texts.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias

import yaml
from yaml.composer import ComposerError

DEEPEST = 40
"""Levels of nesting."""
MOST = 100_000
"""Values of one text, those of aliases counted each time."""
Place: TypeAlias = tuple[str | int, ...]

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {text: value for value in (True, False) for text in (str(value), str(value).lower())}
_BOOL |= {"TRUE": True, "FALSE": False}
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)")
# Without a point, 12e45 is a text, as for PyYAML: a hash may look so. Numeric fields read it all the same.
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+\.[0-9]*)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_UNCLEAR = re.compile(r"[-+]?(0[0-9_]+|0o[0-7_]+|0b[01_]+|0x[0-9a-fA-F_]+|[0-9][0-9_]*_[0-9_.]*)")
_BOMS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TEXT = "tag:yaml.org,2002:str"
_PLAIN = "plain"


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One thing to mend: where it stands, and what to do. ``line`` counts from 1."""

    place: Place = ()
    message: str
    line: int | None = None


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A text's value, the line of each of its places, and what is wrong with it."""

    value: Any
    lines: dict[Place, int]
    faults: tuple[Fault, ...]


class Unreadable(Exception):
    """The text as a whole cannot be read: ``fault`` says why."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.fault = Fault(message=message, line=line)


def decoded(data: bytes) -> str:
    """UTF-8, or UTF-16 or UTF-32 with its mark.

    Raises:
        Unreadable: other bytes, or a file that is not text.
    """
    encoding = next((name for mark, name in _BOMS if data.startswith(mark)), "utf-8-sig")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise Unreadable("not UTF-8 text; save it as UTF-8", line) from error
    if "\0" in text:
        raise Unreadable(
            "not a text file: it holds NUL bytes", text[: text.index("\0")].count("\n") + 1
        )
    return text


def parsed(text: str) -> Reading:
    """What ``text`` says. JSON is read as JSON, all else as one YAML document.

    Raises:
        Unreadable: neither; or it nests or expands too far.
    """
    if text.lstrip()[:1] in ("{", "["):
        try:
            return _json(text)
        except (ValueError, RecursionError):
            pass  # flow-style YAML begins so too
    return _yaml(text)


def json_fault(text: str) -> Fault | None:
    """Why a text is not JSON; None when it is."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return Fault(message=error.msg, line=error.lineno)
    except RecursionError:  # the YAML reader tells how deep it may be
        pass
    return None


def _yaml(text: str) -> Reading:
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.reader.ReaderError as error:
        line = text[: error.position].count("\n") + 1
        raise Unreadable(f"the character {error.character!r} cannot stand here", line) from error
    except yaml.MarkedYAMLError as error:
        raise _syntax(error) from error
    builder = _Builder()
    value = builder.build(node, ()) if node is not None else None
    return Reading(value=value, lines=builder.lines, faults=tuple(builder.faults))


def _syntax(error: yaml.MarkedYAMLError) -> Unreadable:
    mark = error.problem_mark or error.context_mark
    problem = " ".join(part for part in (error.context, error.problem) if part)
    if "\\t" in problem:
        problem += "; indent with blanks, not with tabs"
    elif "flow " in problem:
        problem += "; close every bracket, and put texts that hold one of ?:,[]{} in quotes"
    elif "single document" in problem:
        problem = "a second document begins here (---); keep one"
    return Unreadable(problem, mark.line + 1 if mark else None)


def _json(text: str) -> Reading:
    """Values by the json module, lines (and a key's second place) by YAML where it reads the text."""
    twice: list[str] = []

    def mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                twice.append(key)
            found.setdefault(key, value)
        return found

    value = json.loads(text, object_pairs_hook=mapping, parse_constant=_no_constant)
    try:
        other = _yaml(text.replace("\t", " "))  # JSON's texts hold no tab as such
        lines, faults = other.lines, [f for f in other.faults if f.message.startswith(TWICE)]
    except Unreadable:
        lines, faults = {}, []
    if len(faults) < len(twice):
        faults = [Fault(place=(key,), message=f"{TWICE}; keep one") for key in twice]
    return Reading(value=value, lines=lines, faults=(*faults, *_bad_texts(value, (), lines)))


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _bad_texts(value: Any, place: Place, lines: dict[Place, int]) -> list[Fault]:
    if len(place) > DEEPEST:
        raise Unreadable(f"it nests more than {DEEPEST} levels deep")
    if isinstance(value, str):
        message = _text_fault(value)
        return [Fault(place=place, message=message, line=lines.get(place))] if message else []
    if isinstance(value, float) and math.isinf(value):
        return [Fault(place=place, message="the number is too large", line=lines.get(place))]
    if not isinstance(value, dict | list):
        return []
    members = dict(enumerate(value)) if isinstance(value, list) else value
    found = [f for key in members if isinstance(key, str) for f in _bad_texts(key, place, lines)]
    for key, member in members.items():
        found += _bad_texts(member, (*place, key), lines)
    return found


def _text_fault(text: str) -> str:
    if "\0" in text:
        return "the text holds a NUL character; leave it out"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "the text holds half of a surrogate pair; write the character itself"
    return ""


TWICE = "the key is given twice"


class _Loader(yaml.SafeLoader):
    """Composes nodes; tells plain scalars from quoted ones, and stops at a depth."""

    depth = 0

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TEXT
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]

    def compose_node(self, parent: Any, index: Any) -> Any:
        self.depth += 1
        if self.depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise ComposerError(None, None, f"it nests more than {DEEPEST} levels deep", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


@dataclass
class _Builder:
    """Values of nodes; goes on after a fault, so that all of a text's faults are told at once."""

    lines: dict[Place, int] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    _open: set[int] = field(default_factory=set)
    _built: int = 0

    def build(self, node: yaml.Node, place: Place) -> Any:
        line = node.start_mark.line + 1
        self._built += 1
        if self._built > MOST:
            raise Unreadable(f"its aliases expand to more than {MOST:,} values", line)
        self.lines.setdefault(place, line)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, place)
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag[18:] not in ("map", "seq"):
            return self._fault(place, f"the tag {_tag(node)} is not read; leave it out", line)
        if id(node) in self._open:
            return self._fault(place, "the alias holds itself; write the value out", line)
        self._open.add(id(node))
        if isinstance(node, yaml.MappingNode):
            value: Any = self._mapping(node, place)
        else:
            value = [self.build(n, (*place, index)) for index, n in enumerate(node.value)]
        self._open.discard(id(node))
        return value

    def _mapping(self, node: yaml.MappingNode, place: Place) -> dict[str, Any]:
        found: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        at: dict[str, int] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode) or key_node.tag not in (_PLAIN, _TEXT):
                self._fault(place, "a key must be a text; put it in quotes", line)
                continue
            key = key_node.value
            if key == "<<" and key_node.tag == _PLAIN:
                merged = {**self._merge(value_node, place, line), **merged}
            elif key in at:
                where = f"line {line}" if at[key] == line else f"lines {at[key]} and {line}"
                self._fault((*place, key), f"{TWICE}, in {where}; keep one", line)
            elif key_node.tag == _PLAIN and key in ("", "~"):
                self._fault(place, "a key is empty; name it", line)
            else:
                at[key] = self.lines[(*place, key)] = line
                if message := _text_fault(key):
                    self._fault(place, message, line)
                found[key] = self.build(value_node, (*place, key))
        return {**{k: v for k, v in merged.items() if k not in found}, **found}

    def _merge(self, node: yaml.Node, place: Place, line: int) -> dict[str, Any]:
        value = self.build(node, place)
        parts = value if isinstance(value, list) else [value]
        if not all(isinstance(part, dict) for part in parts):
            self._fault((*place, "<<"), "a merge takes mappings", line)
            return {}
        return {key: member for part in reversed(parts) for key, member in part.items()}

    def _scalar(self, node: yaml.ScalarNode, place: Place) -> Any:
        text, line = node.value, node.start_mark.line + 1
        if node.tag == _TEXT:
            whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")
            if message := _text_fault(whole):
                self._fault(place, message, line)
            return whole
        if node.tag != _PLAIN:
            return self._fault(place, f"the tag {_tag(node)} is not read; leave it out", line)
        if text in _NULL:
            return None
        if text in _BOOL:
            return _BOOL[text]
        if _UNCLEAR.fullmatch(text):
            mend = "a number in plain digits, or a text in quotes"
            return self._fault(
                place, f"programs differ on which number {text[:40]} is; write {mend}", line
            )
        return self._number(text, place, line)

    def _number(self, text: str, place: Place, line: int) -> Any:
        if _SPECIAL.fullmatch(text):
            return float(text.lower().replace(".", ""))
        whole = _INT.fullmatch(text)
        if not whole and not _FLOAT.fullmatch(text):
            return text
        try:
            value = int(text) if whole else float(text)
        except ValueError:  # Python reads at most some thousand digits
            value = math.inf
        if isinstance(value, float) and math.isinf(value):
            return self._fault(place, f"the number {text[:40]} is too large", line)
        return value

    def _fault(self, place: Place, message: str, line: int) -> None:
        self.faults.append(Fault(place=place, message=message, line=line))


def _tag(node: yaml.Node) -> str:
    return str(node.tag).replace("tag:yaml.org,2002:", "!!")
