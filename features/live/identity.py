"""Which request an event's interaction belongs to: as ingest has it, so that log and stream agree.

Where the log has no request ids, ingest makes them of user and time. An event of such a log gets the
same one, whatever it says: else what comes by the log and live would be two interactions.
"""

from __future__ import annotations

from dataclasses import dataclass

from hemix.features.definition import DatasetDefinition
from hemix.features.live.events import LiveEvent


@dataclass(frozen=True, kw_only=True)
class RequestIds:
    """``always``, ``never``: whether all, or none, of the interactions' sources name request ids."""

    always: bool
    never: bool

    @staticmethod
    def of(definition: DatasetDefinition) -> RequestIds:
        """What the sources of ``definition`` name."""
        named = [
            "request_id" in source.columns or "request_id" in source.constants
            for source in definition.interactions
        ]
        return RequestIds(always=all(named), never=not any(named))

    def of_event(self, event: LiveEvent) -> str:
        """The request id that the log has, or will have, of the event's interaction."""
        if self.never or not (self.always or event.request_id):
            return f"{event.user_id}-{event.time_ms}"
        return event.request_id
