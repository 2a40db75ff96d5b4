"""An event as the endpoint keeps it: what happened, when it happened, and when it became known."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Id = int | str


@dataclass(frozen=True, kw_only=True, slots=True)
class LiveEvent:
    """An interaction (it has ``labels``) or a behaviour (it has an ``action``).

    Args:
        event_id: names the event; a second one of the same id is the same event.
        time_ms: when it happened, epoch milliseconds UTC, as a log's event time.
        known_ms: when it became known; a request of an earlier time does not see it.
        labels: task -> 0 or 1; None for a behaviour. What is not named is 0.
        context: the interaction's own columns; kept, so that a log can be made of the events.
    """

    event_id: str
    user_id: Id
    item_id: Id
    time_ms: int
    known_ms: int
    request_id: str = ""
    labels: Mapping[str, int] | None = None
    action: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)

    def to_text(self) -> str:
        """One line of JSON; ids and times keep all their digits."""
        value: dict[str, Any] = {
            "event_id": self.event_id,
            "user_id": self.user_id,
            "item_id": self.item_id,
            "event_time": self.time_ms,
            "known_at": self.known_ms,
        }
        if self.labels is not None:
            value |= {"labels": dict(self.labels), "request_id": self.request_id}
            if self.context:
                value["context"] = dict(self.context)
        else:
            value["action"] = self.action
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))

    @staticmethod
    def from_text(text: str | bytes) -> LiveEvent:
        """What :meth:`to_text` wrote."""
        value = json.loads(text)
        return LiveEvent(
            event_id=value["event_id"],
            user_id=value["user_id"],
            item_id=value["item_id"],
            time_ms=value["event_time"],
            known_ms=value["known_at"],
            request_id=value.get("request_id", ""),
            labels=value.get("labels"),
            action=value.get("action"),
            context=value.get("context", {}),
        )
