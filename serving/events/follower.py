"""One definition's live features: the base that is published now, and every event since, in memory.

A request catches up with the store before it reads, so that what was acknowledged anywhere is seen
by the next request everywhere. A new base is loaded beside the old one and put in its place when it
has caught up: both give the same answers, since events are told apart by what they are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from hemix.errors import HemixError
from hemix.features.live.base import read_base
from hemix.features.live.columns import LiveColumns, columns_at
from hemix.features.live.events import Id
from hemix.features.live.state import LiveState
from hemix.features.live.stores.base import EventStore, Mark
from hemix.serving.messages.answer import EVENTS_BEHIND, EVENTS_MISSING
from hemix.serving.metrics import LIVE_BASE_AGE, LIVE_EVENTS_ERRORS, LIVE_EVENTS_HELD
from hemix.serving.rarely import Rarely

logger = logging.getLogger("hemix.serving")
_warnings = Rarely(logger)

_PAGE = 5_000
_REST_S = 0.5
"""How long a store that failed is not asked by requests."""


class Follower:
    """Follows the base at ``path()`` and ``store``. Thread-safe.

    Args:
        name: of the definition's views, for metrics.
        path: where the base is now; called now and then, and it may be another each time.

    Raises:
        StorageError: there is no whole base.
        EventsUnavailable: the store does not answer.
    """

    def __init__(self, name: str, path: Callable[[], Path], store: EventStore) -> None:
        self._name, self._path, self._store = name, path, store
        self._reading = threading.Lock()
        self._resting_until = 0.0
        self._stamp, self._state, self._mark = self._load()
        self._forgotten_ms = store.forgotten_ms()

    @property
    def horizon_ms(self) -> int:
        """What is older is in the base, or too late for it."""
        return self._state.base.horizon_ms

    def columns(
        self, user_id: Id, item_ids: Sequence[Id], time_ms: int, *, now: bool
    ) -> tuple[LiveColumns, tuple[str, ...]]:
        """Sequences and counters of a request, and what is to be said of them.

        Args:
            user_id: who asks.
            item_ids: about which candidates.
            time_ms: the request's time.
            now: the request is of now: all that is known counts, whatever clocks say.
        """
        flags: tuple[str, ...] = ()
        if not self.catch_up():
            flags = (EVENTS_BEHIND,)
        state = self._state
        if self._forgotten_ms > state.base.until_ms:
            flags = (*flags, EVENTS_MISSING)
        known = state.known(user_id, item_ids, time_ms, all_known=now)
        return columns_at(state.log, known, time_ms), flags

    def catch_up(self) -> bool:
        """Take in what came since; False when not all of it could be."""
        with self._reading:
            if time.monotonic() < self._resting_until:
                return False
            try:
                page = self._store.since(self._mark, _PAGE)
                if page.again:
                    self._state, self._mark = self._replayed(LiveState(self._state.base))
                    return True
                self._state.add(page.events)
                self._mark = page.mark
            except HemixError as error:
                self._resting_until = time.monotonic() + _REST_S
                LIVE_EVENTS_ERRORS.inc()
                _warnings.warn("Live events are not followed: %s", error)
                return False
            return len(page.events) < _PAGE

    def refresh(self) -> None:
        """Catch up, and take over a base that was published since; for a thread of its own."""
        self.catch_up()
        try:
            if self._stat(self._path()) != self._stamp:
                stamp, state, mark = self._load()
                with self._reading:
                    self._stamp, self._state, self._mark = stamp, state, mark
                logger.info("%s: the new base is live, of %d.", self._name, state.base.until_ms)
            self._forgotten_ms = self._store.forgotten_ms()
        except HemixError as error:
            LIVE_EVENTS_ERRORS.inc()
            _warnings.warn("The base of live features was not taken over: %s", error)
        base = self._state.base
        LIVE_BASE_AGE.labels(self._name).set(time.time() - base.until_ms / 1000)
        LIVE_EVENTS_HELD.labels(self._name).set(self._state.events)

    def _load(self) -> tuple[tuple[int, int, str], LiveState, Mark]:
        path = self._path()
        stamp = self._stat(path)
        state, mark = self._replayed(LiveState(read_base(path)))
        return stamp, state, mark

    def _replayed(self, state: LiveState) -> tuple[LiveState, Mark]:
        page = self._store.since(None, _PAGE)
        while True:
            state.add(page.events)
            if len(page.events) < _PAGE:
                return state, page.mark
            page = self._store.since(page.mark, _PAGE)

    @staticmethod
    def _stat(path: Path) -> tuple[int, int, str]:
        try:
            found = path.stat()
        except OSError:
            return (0, 0, str(path))
        return (found.st_ino, found.st_mtime_ns, str(path))
