"""The store of live events that an endpoint was started with."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hemix.features.live.stores.base import MOST_EVENTS
from hemix.features.live.stores.opening import open_events
from hemix.features.store.remote import live_folder
from hemix.serving.events.dead_letters import DeadLetters
from hemix.serving.events.desk import EventDesk
from hemix.storage import is_remote

_LOOK_S = 60.0


@dataclass(frozen=True, kw_only=True)
class EventsConfig:
    """Where live events are kept.

    Args:
        store: a sqlite file's path, or ``redis://user@host:port/db``.
        dead_letters: folder of refused events.
        most: events that the store may hold.
    """

    store: str
    dead_letters: Path
    most: int = MOST_EVENTS


def open_desk(config: EventsConfig | None, features: str) -> EventDesk | None:
    """The desk that takes events; None where the endpoint takes none.

    Raises:
        DefinitionError: the store's address is none.
        EventsUnavailable: the store does not answer, or cannot be used as it is set up.
    """
    if config is None:
        return None
    store = open_events(config.store, most=config.most)
    return EventDesk(store, DeadLetters(config.dead_letters), _folder(features))


def _folder(features: str) -> Callable[[], Path]:
    """Where the live feature store is now; of a remote one the snapshot that is live each minute."""
    if not is_remote(features):
        return lambda: Path(features)
    found: dict[str, tuple[float, Path]] = {}

    def look() -> Path:
        at, folder = found.get("live", (float("-inf"), Path()))
        if time.monotonic() > at + _LOOK_S:
            folder = live_folder(features)
            found["live"] = (time.monotonic(), folder)
        return folder

    return look
