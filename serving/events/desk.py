"""Where events come in: each is taken, known already, or refused and kept as a dead letter."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hemix.errors import HemixError, RequestError
from hemix.features.definition import DatasetDefinition
from hemix.features.feature_views import views_digest
from hemix.features.live.base import base_name
from hemix.features.live.events import LiveEvent
from hemix.features.live.stores.base import EventStore
from hemix.features.schema import ColumnTypes
from hemix.serving.events.contract import EventContract
from hemix.serving.events.dead_letters import DeadLetter, DeadLetters
from hemix.serving.events.follower import Follower
from hemix.serving.messages.echo import echoed
from hemix.serving.metrics import EVENTS

logger = logging.getLogger("hemix.serving")

MAX_EVENTS = 1_000
"""Events of one body."""
LEVELS = 8
"""How deep lists and objects of an event may lie in each other: what is deeper cannot be written out."""
_EVERY_S = 0.05
_REFRESH_S = 2.0
TOO_OLD = (
    "event_time: is before what live events can still change ({horizon}); the next publication counts"
    " it when the log holds it."
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What became of one event: ``accepted``, ``duplicate`` or ``refused`` (then with why)."""

    event_id: Any
    status: str
    error: str = ""

    def to_json(self) -> dict[str, Any]:
        value = {"event_id": echoed(self.event_id), "status": self.status}
        return {**value, "error": self.error} if self.error else value


@dataclass(frozen=True, kw_only=True)
class Results:
    """What became of a batch, event by event; ``durable``: what was taken is on a disk."""

    results: tuple[Result, ...]
    durable: bool

    def to_json(self) -> dict[str, Any]:
        statuses = [result.status for result in self.results]
        counts = {name: statuses.count(name) for name in ("accepted", "duplicate", "refused")}
        value: dict[str, Any] = {
            "results": [result.to_json() for result in self.results],
            **counts,
            "durable": self.durable,
        }
        if not self.durable:
            value["warning"] = "accepted, not durable: redis may lose what it holds when it stops"
        return value


class EventDesk:
    """Takes events for every definition that serves, and gives each a follower.

    Args:
        store: where events are kept.
        letters: where refused ones go.
        features: the folder of the live feature store now, in which the bases are.
        clock: epoch seconds.
    """

    def __init__(
        self,
        store: EventStore,
        letters: DeadLetters,
        features: Callable[[], Path],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.store, self._letters, self._features = store, letters, features
        self._clock = clock
        self._followers: dict[str, Follower] = {}
        self._opening = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def follow(self, definition: DatasetDefinition, types: ColumnTypes) -> Follower | None:
        """The follower of a definition's views; None when it has no base."""
        digest = views_digest(definition, types)
        with self._opening:
            if digest in self._followers:
                return self._followers[digest]
            try:
                if not (self._features() / base_name(digest)).exists():
                    logger.warning("%s has no base: it serves without live events.", digest)
                    return None
                follower = Follower(
                    digest, lambda: self._features() / base_name(digest), self.store
                )
            except HemixError as error:
                logger.error("%s serves without live events: %s", digest, error)
                return None
            self._followers[digest] = follower
            return follower

    def take(self, contract: EventContract, values: Sequence[object], source: str) -> Results:
        """Check, keep and acknowledge a batch; refused ones are dead letters before it returns.

        Raises:
            EventsFull, EventsUnavailable, StorageError: nothing of it is acknowledged; send it again.
        """
        return self.take_all(contract, [(value, source) for value in values])

    def take_all(self, contract: EventContract, values: Sequence[tuple[object, str]]) -> Results:
        """:meth:`take`, of values that come from places of their own."""
        now_ms, horizon = int(self._clock() * 1000), self.horizon_ms()
        results: list[Result | None] = []
        events: list[tuple[int, LiveEvent]] = []
        letters: list[DeadLetter] = []

        def refuse(place: int, event_id: Any, error: str) -> None:
            value, source = values[place]
            letters.append(DeadLetter(event=value, error=error, source=source))
            results[place] = Result(event_id=event_id, status="refused", error=error)

        for place, (value, _) in enumerate(values):
            results.append(None)
            try:
                event = contract.parse(value, now_ms=now_ms)
            except RequestError as error:
                refuse(
                    place, value.get("event_id") if isinstance(value, dict) else None, str(error)
                )
                continue
            if event.time_ms < horizon:
                refuse(place, event.event_id, TOO_OLD.format(horizon=horizon))
            else:
                events.append((place, event))
        if letters:
            self._letters.write(letters)
            letters.clear()
        outcomes = self.store.append([event for _, event in events]) if events else []
        for (place, event), outcome in zip(events, outcomes, strict=True):
            if outcome == "too_old":
                refuse(place, event.event_id, TOO_OLD.format(horizon=self.store.forgotten_ms()))
            else:
                results[place] = Result(event_id=event.event_id, status=outcome)
        if letters:
            self._letters.write(letters)
        whole = Results(
            results=tuple(result for result in results if result is not None),
            durable=self.store.durable,
        )
        for result in whole.results:
            EVENTS.labels(result.status).inc()
        return whole

    def horizon_ms(self) -> int:
        """Events of before it are refused: no definition that serves can count them."""
        return min((f.horizon_ms for f in self._followers.values()), default=0)

    def watch(self) -> None:
        """Follow the store and the bases, and let old events leave, from a thread of its own."""
        self._thread = threading.Thread(target=self._watch, name="events", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following, and close the store."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=30)
        self.store.close()

    def _watch(self) -> None:
        refreshed = time.monotonic()
        while not self._stop.wait(_EVERY_S):
            due = time.monotonic() > refreshed + _REFRESH_S
            for follower in list(self._followers.values()):
                if due:
                    follower.refresh()
                else:
                    follower.catch_up()
            if due:
                refreshed = time.monotonic()
                self._prune()

    def _prune(self) -> None:
        horizon = self.horizon_ms()
        try:
            if horizon > self.store.forgotten_ms():
                gone = self.store.prune(horizon)
                logger.info("%d live events of before %d have left.", gone, horizon)
        except HemixError as error:
            logger.warning("Old live events stay for now: %s", error)
