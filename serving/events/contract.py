"""What an event may say: checked against the definition as ingest checks a log, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from hemix.errors import RequestError
from hemix.features.definition import DatasetDefinition
from hemix.features.live.events import LiveEvent
from hemix.features.live.identity import RequestIds
from hemix.features.schema import ColumnTypes
from hemix.serving.messages.echo import short
from hemix.serving.messages.request import RequestContract, Value, checked, known_fields
from hemix.serving.messages.times import milliseconds

AHEAD_MS = 300_000
"""How far an event's time may be ahead of this machine's clock: what is further is no clock's error."""
_COMMON = ("event_id", "user_id", "item_id", "event_time", "known_at")
_FIELDS = (*_COMMON, "labels", "request_id", "context", "action")


@dataclass(frozen=True, kw_only=True)
class EventContract:
    """The events that a definition knows: interactions with its tasks, behaviours where it has them."""

    ids: RequestContract
    tasks: tuple[str, ...]
    actions: bool
    request_ids: bool
    """True where every interaction of the log has a request id, so that an event needs one too."""

    @staticmethod
    def of(definition: DatasetDefinition, types: ColumnTypes) -> EventContract:
        """The contract of the version whose types win: the champion's."""
        return EventContract(
            ids=RequestContract.of([(definition, types)]),
            tasks=definition.tasks,
            actions=any(source.exact_time for source in definition.behaviors),
            request_ids=RequestIds.of(definition).always,
        )

    def parse(self, value: object, *, now_ms: int, where: str = "") -> LiveEvent:
        """Check one event; what does not say when it became known became known ``now_ms``.

        Raises:
            RequestError: names the field and what it must be.
        """
        if not isinstance(value, dict):
            raise RequestError(f"{where.rstrip('.') or 'event'}: give an object with event_id.")
        known_fields(value, _FIELDS, where)
        for name in ("event_id", "user_id", "item_id", "event_time"):
            if value.get(name) is None:
                raise RequestError(f"{where}{name}: is missing.")
        time_ms = _moment(value["event_time"], f"{where}event_time")
        if time_ms > now_ms + AHEAD_MS:
            raise RequestError(
                f"{where}event_time: {time_ms} is {(time_ms - now_ms) // 1000} s ahead of the"
                " endpoint's clock; send an event once it has happened."
            )
        known_ms = now_ms
        if value.get("known_at") is not None:
            known_ms = _moment(value["known_at"], f"{where}known_at")
            if known_ms > now_ms + AHEAD_MS:
                raise RequestError(f"{where}known_at: {known_ms} is in the future.")
        return LiveEvent(
            event_id=_text(value["event_id"], f"{where}event_id"),
            user_id=self._id(value, "user_id", self.ids.user_id, where),
            item_id=self._id(value, "item_id", self.ids.item_id, where),
            time_ms=time_ms,
            known_ms=known_ms,
            **self._what(value, where),
        )

    def _id(self, value: Mapping[str, Any], name: str, kind: Any, where: str) -> int | str:
        found = checked(value[name], kind, f"{where}{name}")
        if isinstance(found, str):
            _one_line(found, f"{where}{name}")
        assert not isinstance(found, float)
        return found

    def _what(self, value: Mapping[str, Any], where: str) -> dict[str, Any]:
        labels, action = value.get("labels"), value.get("action")
        if (labels is None) == (action is None):
            raise RequestError(
                f"{where}labels: give labels (an interaction) or an action (a behaviour), one of them."
            )
        if action is not None:
            return {"action": self._action(value, where)}
        if not isinstance(labels, dict):
            raise RequestError(f"{where}labels: give an object of tasks and 0 or 1.")
        for name, label in labels.items():
            if name not in self.tasks:
                raise RequestError(
                    f"{where}labels.{short(name)}: no such task; known: {', '.join(self.tasks)}."
                )
            if type(label) not in (int, bool) or label not in (0, 1):
                told = f"the text {short(label)!r}" if isinstance(label, str) else short(label)
                raise RequestError(f"{where}labels.{name}: {told} must be 0 or 1.")
        request_id = value.get("request_id")
        absent = request_id is None or request_id == ""
        if absent and self.request_ids:
            raise RequestError(
                f"{where}request_id: is missing; give the one that the log has of this interaction,"
                " else it would be counted once more when the log brings it."
            )
        return {
            "labels": {name: int(label) for name, label in labels.items()},
            "request_id": "" if absent else _text(request_id, f"{where}request_id"),
            "context": self._context(value.get("context"), where),
        }

    def _context(self, context: object, where: str) -> dict[str, Value]:
        """The interaction's own columns, those of the request and those of the candidate."""
        if context is None:
            return {}
        if not isinstance(context, dict):
            raise RequestError(f"{where}context: give an object of names and values.")
        kinds = {**self.ids.context, **self.ids.candidates}
        found: dict[str, Value] = {}
        for name, value in context.items():
            if name not in kinds:
                known = ", ".join(kinds) or "none"
                raise RequestError(
                    f"{where}context.{short(name)}: no such column of the interactions; known: {known}."
                )
            if value is not None:
                found[name] = checked(value, kinds[name], f"{where}context.{name}")
        return found

    def _action(self, value: Mapping[str, Any], where: str) -> str:
        for name in ("request_id", "context"):
            if value.get(name) is not None:
                raise RequestError(f"{where}{name}: belongs to an interaction, not to an action.")
        if not self.actions:
            raise RequestError(
                f"{where}action: this definition has no behaviours with exact times; what it reads off"
                " interactions follows from their labels."
            )
        return _text(value["action"], f"{where}action")


def _text(value: object, where: str) -> str:
    text = checked(value, "text", where)
    assert isinstance(text, str)
    return _one_line(text, where)


def _one_line(text: str, where: str) -> str:
    """As ingest: what a vocabulary's file can hold."""
    if "\n" in text or "\r" in text:
        raise RequestError(f"{where}: {short(text)} must have no line break.")
    return text


def _moment(value: object, where: str) -> int:
    """Whole milliseconds since 1970, or ISO text; rounded down, UTC where no zone is given."""
    if not isinstance(value, str):
        return milliseconds(value, where)
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):  # no time, or in UTC one of before year 1 or after 9999
        raise RequestError(
            f"{where}: {short(value)} must be milliseconds since 1970 or a time like"
            " 2024-05-31T12:00:00.250Z."
        ) from None
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    microseconds = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return milliseconds(microseconds // 1000, where)
