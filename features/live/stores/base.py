"""What a store of live events does, whichever it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from hemix.errors import HemixError
from hemix.features.live.events import LiveEvent

Outcome = Literal["accepted", "duplicate", "too_old"]
MOST_EVENTS = 20_000_000
"""Events that a store holds unless it is told otherwise."""


class EventsUnavailable(HemixError):
    """The store of live events does not answer, or cannot be used as it is set up."""

    exit_code = 7
    http_status = 503


class EventsFull(HemixError):
    """The store of live events holds as many as it may: nothing of the batch was taken."""

    exit_code = 9
    http_status = 507

    def __init__(self, held: int, most: int) -> None:
        super().__init__(
            f"events: the store holds {held} of at most {most} events; nothing was taken.",
            hint="Publish: what the new publication's horizon leaves behind is removed.",
        )


@dataclass(frozen=True, kw_only=True)
class Mark:
    """How far a reader has read: the life of the store, and the number of its last event."""

    life: str
    number: int


@dataclass(frozen=True, kw_only=True)
class Page:
    """Events after a mark, in the order in which they were taken, and the mark after them.

    ``again``: the store is another than that of the mark (it was made anew): read from the start.
    """

    events: tuple[LiveEvent, ...]
    mark: Mark
    again: bool = False


class EventStore(Protocol):
    """A log of live events that several processes append to and read. Thread-safe."""

    @property
    def durable(self) -> bool:
        """Whether what :meth:`append` has returned for is on the disk."""
        ...

    def append(self, events: Sequence[LiveEvent]) -> list[Outcome]:
        """Take those whose id is new, all or none of them; what became of each.

        Raises:
            EventsFull: there is no room.
            EventsUnavailable: it is not known whether they were taken; send them again.
        """
        ...

    def since(self, mark: Mark | None, limit: int = 5_000) -> Page:
        """Up to ``limit`` events after ``mark``, from the start when None."""
        ...

    def prune(self, before_ms: int) -> int:
        """Forget events of before ``before_ms``, and take none of them any more; how many went."""
        ...

    def forgotten_ms(self) -> int:
        """Before when events were forgotten; 0: none were."""
        ...

    def size(self) -> int:
        """How many events it holds."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...
