"""The ranking request: what a client may send, checked field by field before anything is done.

Every refusal is a :class:`RequestError` whose message starts with the field's path. Nothing is
guessed: ``"7"`` is not a number, ``7.0`` is not an id, ``true`` is neither.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import pyarrow as pa

from hemix.bounds import MAX_INT, MAX_NUMBER, MAX_TEXT, MIN_INT
from hemix.errors import RequestError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes
from hemix.serving.messages.echo import is_unicode, short
from hemix.serving.messages.times import milliseconds

MAX_CANDIDATES = 1_000
MAX_INSTANCES = 16
Kind = Literal["int", "text", "number"]
Value = int | str | float

_FIELDS = ("user_id", "item_ids", "context", "candidates", "request_id", "timestamp_ms")
_KIND_WORDS: dict[Kind, str] = {
    "int": "a whole number",
    "text": f"a text of 1 to {MAX_TEXT} characters",
    "number": f"a finite number of at most {MAX_NUMBER:.3g}",
}


@dataclass(frozen=True, kw_only=True)
class RankingRequest:
    """A checked request: one user and N candidates.

    ``context`` holds the given columns of the request only; ``candidates`` the given columns of the
    candidates, each N values in the order of ``item_ids`` (None: that candidate has none).
    ``timestamp_ms`` is None for now.
    """

    request_id: str
    user_id: int | str
    item_ids: list[int] | list[str]
    context: dict[str, Value]
    timestamp_ms: int | None
    candidates: dict[str, list[Value | None]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RequestContract:
    """The types that a data set's ids, request columns and candidate columns have."""

    user_id: Kind
    item_id: Kind
    context: Mapping[str, Kind]
    candidates: Mapping[str, Kind] = field(default_factory=dict)

    @staticmethod
    def of(versions: Iterable[tuple[DatasetDefinition, ColumnTypes]]) -> RequestContract:
        """The contract of the versions that are live, the champion first (its types win)."""
        versions = list(versions)
        _, types = versions[0]
        context: dict[str, Kind] = {}
        candidates: dict[str, Kind] = {}
        for definition, own in reversed(versions):
            for found, names in (
                (context, definition.request_columns),
                (candidates, definition.candidate_columns),
            ):
                found.update({name: _kind(own.context[name]) for name in names})
        return RequestContract(
            user_id=_kind(types.user_id),
            item_id=_kind(types.item_id),
            context=context,
            candidates=candidates,
        )

    def parse_body(self, body: object) -> list[RankingRequest]:
        """Check a V1 body ``{"instances": [...]}`` of 1 to :data:`MAX_INSTANCES` requests."""
        if not isinstance(body, dict):
            raise RequestError('body: must be a JSON object {"instances": [...]}.')
        known_fields(body, ("instances", "parameters", "signature_name"), "")
        instances = body.get("instances")
        if not isinstance(instances, list):
            raise RequestError("instances: give a list of requests.")
        if not 1 <= len(instances) <= MAX_INSTANCES:
            raise RequestError(
                f"instances: {len(instances)} requests; give 1 to {MAX_INSTANCES} at a time."
            )
        return [
            self.parse(instance, where=f"instances[{number}].")
            for number, instance in enumerate(instances)
        ]

    def parse(self, instance: object, *, where: str = "") -> RankingRequest:
        """Check one request. ``where`` goes before each field's name in messages.

        Raises:
            RequestError: names the field and what it must be.
        """
        if not isinstance(instance, dict):
            raise RequestError(f"{where.rstrip('.')}: give an object with user_id and item_ids.")
        known_fields(instance, _FIELDS, where)
        item_ids = self._items(instance, where)
        return RankingRequest(
            user_id=self._user(instance, where),
            item_ids=item_ids,
            context=self._context(instance.get("context"), where),
            candidates=self._candidates(instance.get("candidates"), len(item_ids), where),
            request_id=_request_id(instance.get("request_id"), where),
            timestamp_ms=_timestamp(instance.get("timestamp_ms"), where),
        )

    def _user(self, instance: Mapping[str, Any], where: str) -> int | str:
        if instance.get("user_id") is None:
            raise RequestError(f"{where}user_id: is missing.")
        value = checked(instance["user_id"], self.user_id, f"{where}user_id")
        assert not isinstance(value, float)
        return value

    def _items(self, instance: Mapping[str, Any], where: str) -> list[Any]:
        items = instance.get("item_ids")
        if not isinstance(items, list):
            raise RequestError(f"{where}item_ids: give a list of 1 to {MAX_CANDIDATES} item ids.")
        if not 1 <= len(items) <= MAX_CANDIDATES:
            raise RequestError(
                f"{where}item_ids: {len(items)} candidates; give 1 to {MAX_CANDIDATES}."
            )
        kind = self.item_id
        return [checked(item, kind, f"{where}item_ids", at) for at, item in enumerate(items)]

    def _context(self, context: object, where: str) -> dict[str, Value]:
        if context is None:
            return {}
        if not isinstance(context, dict):
            raise RequestError(f"{where}context: give an object of names and values.")
        found: dict[str, Value] = {}
        for name, value in context.items():
            if name in self.candidates:
                raise RequestError(
                    f"{where}context.{name}: each candidate has its own; give the list "
                    f"candidates.{name}, one value a candidate."
                )
            if name not in self.context:
                known = ", ".join(self.context) or "none"
                raise RequestError(
                    f"{where}context.{short(name)}: no such context column; known: {known}."
                )
            if value is not None:
                found[name] = checked(value, self.context[name], f"{where}context.{name}")
        return found

    def _candidates(
        self, candidates: object, count: int, where: str
    ) -> dict[str, list[Value | None]]:
        if candidates is None:
            return {}
        if not isinstance(candidates, dict):
            raise RequestError(f"{where}candidates: give an object of names and lists of values.")
        found: dict[str, list[Value | None]] = {}
        for name, values in candidates.items():
            place = f"{where}candidates.{short(name)}"
            if name in self.context:
                raise RequestError(f"{place}: a request has one of it; give it as context.{name}.")
            if name not in self.candidates:
                known = ", ".join(self.candidates) or "none"
                raise RequestError(f"{place}: no such candidate column; known: {known}.")
            if not isinstance(values, list):
                raise RequestError(f"{place}: give a list of {count} values, one a candidate.")
            if len(values) != count:
                raise RequestError(f"{place}: {len(values)} values for {count} candidates.")
            kind = self.candidates[name]
            found[name] = [
                None if value is None else checked(value, kind, place, at)
                for at, value in enumerate(values)
            ]
        return found


def _kind(kind: pa.DataType) -> Kind:
    if pa.types.is_integer(kind):
        return "int"
    return "number" if pa.types.is_floating(kind) else "text"


def checked(value: object, kind: Kind, where: str, at: int | None = None) -> Value:
    """A value of a kind, or RequestError that names ``where``."""
    if kind == "int":
        if type(value) is int and MIN_INT <= value <= MAX_INT:
            return value
    elif kind == "text":
        if type(value) is str and 0 < len(value) <= MAX_TEXT and is_unicode(value):
            return value
    elif (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and -MAX_NUMBER <= value <= MAX_NUMBER
    ):
        return float(value)
    place = where if at is None else f"{where}[{at}]"
    raise RequestError(f"{place}: {short(value)} must be {_KIND_WORDS[kind]}.")


def _request_id(value: object, where: str) -> str:
    if value is None or value == "":
        return uuid.uuid4().hex
    text = checked(value, "text", f"{where}request_id")
    assert isinstance(text, str)
    return text


def _timestamp(value: object, where: str) -> int | None:
    return None if value is None else milliseconds(value, f"{where}timestamp_ms")


def known_fields(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    """Raise RequestError when a field has another name than those in ``known``."""
    for name in given:
        if name not in known:
            raise RequestError(f"{where}{short(name)}: no such field; known: {', '.join(known)}.")
