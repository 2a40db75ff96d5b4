"""Open a store of live events by its address."""

from __future__ import annotations

from pathlib import Path

from hemix.errors import DefinitionError
from hemix.features.live.stores.base import MOST_EVENTS, EventStore
from hemix.features.live.stores.redis import REDIS_PASSWORD, RedisEvents
from hemix.features.live.stores.sqlite import SqliteEvents


def open_events(address: str, *, most: int = MOST_EVENTS) -> EventStore:
    """The store at ``redis://user@host:port/db``, or in a sqlite file.

    Raises:
        DefinitionError: the address is of neither kind, or holds a password.
        EventsUnavailable: it does not answer, or cannot be used as it is set up.
    """
    if address.startswith(("redis://", "rediss://")):
        if ":" in address.split("://", 1)[1].rpartition("@")[0]:
            raise DefinitionError(
                "events: the address holds a password, which would be kept in records and logs.",
                hint=f"Leave it out and set {REDIS_PASSWORD} in the environment.",
            )
        return RedisEvents(address, most=most)
    if "://" in address:
        raise DefinitionError(
            f"events: {address!r} is not a store of live events.",
            hint="Write a file's path, or redis://host:port/db.",
        )

    return SqliteEvents(Path(address), most=most)
