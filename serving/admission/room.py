"""Admission by work: how much may wait follows from how fast work gets done and how long callers wait.

Work is counted in candidates; a request costs :data:`FIXED` more. By Little's law what is admitted
now is answered within ``units / speed`` seconds, so a request is let in while that is at most half
of its deadline; the other half is for what cannot be foreseen. ``speed`` is measured while all
workers are busy. Two requests a worker are let in however slow the machine is, but a body
of several that could not be done in time even alone comes in only when nobody else is there.

Lives in the event loop's thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextvars import ContextVar

from hemix.serving.call import Call, Overloaded
from hemix.serving.messages.request import MAX_CANDIDATES
from hemix.serving.metrics import IN_FLIGHT_BYTES, IN_FLIGHT_UNITS, SHED, SPEED

TIMEOUT_S = 5.0
"""How long a caller waits who does not say; the gateway's own default."""
FIXED = 300.0
"""What a request costs beside its candidates, in candidates (measured: 100 take 16 ms, 500 25 ms)."""
MAX_BYTES = 32 << 20
"""Bodies held at the same time."""

_WINDOW_S = 0.5
_NEWEST = 0.3
_START_CALLS = 16
"""Requests let in before any speed is known."""
_START_BYTES = 8.0
_ONE_REQUEST = FIXED + MAX_CANDIDATES
_GIANTS_PART = 0.25
"""Of the room, what one request takes of it at most in the eyes of smaller ones."""

CALL: ContextVar[Call | None] = ContextVar("call", default=None)
"""The request that the running task is about."""


class Gate:
    """Who may come in.

    Args:
        timeout_s: deadline of a request that brings none, and the longest that one may bring.
        workers: requests worked on at the same time.
        max_bytes: bodies held at the same time.
    """

    def __init__(
        self,
        *,
        timeout_s: float = TIMEOUT_S,
        workers: int = 2,
        max_bytes: int = MAX_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.timeout_s = timeout_s
        self.clock = clock
        self.speed: float | None = None
        self.resting = 0
        """Connections that were refused and are not read for a moment."""
        self._workers, self._max_bytes = workers, max_bytes
        self._calls: set[Call] = set()
        self._units = self._announced = 0.0
        self._bytes = 0
        self._candidate_bytes = _START_BYTES
        self._done, self._busy_s, self._then = 0.0, 0.0, clock()

    # ---- coming and going -----------------------------------------------------------------------

    def full(self, size: int) -> bool:
        """Whether a body of ``size`` bytes would be refused now; cheap, nothing is parsed."""
        self._advance()
        return not self._has_room(self._estimate(size), self.timeout_s)

    def announce(self, size: int) -> float:
        """A body of ``size`` bytes has arrived and will ask to enter; :meth:`withdraw` must follow."""
        units = self._estimate(size)
        self._announced += units
        return units

    def withdraw(self, units: float) -> None:
        """Take :meth:`announce`'s units back."""
        self._announced = max(0.0, self._announced - units)

    def enter(self, size: int, timeout_s: float | None = None) -> Call:
        """Let a request of ``size`` bytes in; :meth:`leave` must follow.

        Raises:
            Overloaded: there is more to do than can be done in time.
        """
        timeout_s = self.timeout_s if timeout_s is None else min(timeout_s, self.timeout_s)
        units = self._estimate(size)
        self._advance()
        if not self._has_room(units, timeout_s):
            raise self._overloaded()
        call = Call(units=units, deadline=self.clock() + timeout_s, clock=self.clock)
        self._calls.add(call)
        self._add(units)
        call.size = size
        return call

    def costs(self, call: Call, requests: int, candidates: int) -> None:
        """Say what a request costs, now that it is parsed.

        Raises:
            Overloaded: that is more than there is room for.
        """
        if call.size and candidates >= 20:
            seen = call.size / candidates
            self._candidate_bytes += 0.1 * (seen - self._candidate_bytes)
        units = units_of(requests, candidates)
        more = units - call.units
        self._advance()
        self._calls.discard(call)
        room = more <= 0 or self._has_room(more, call.deadline - self.clock(), own=call.units)
        self._calls.add(call)
        if not room:
            raise self._overloaded()
        self._add(more)
        call.units = units

    def done(self, call: Call, units: float, seconds: float) -> None:
        """``units`` of a request are worked off; a worker took ``seconds`` for them."""
        self._advance()
        self._done += units
        if seconds > 0 and (self.speed is None or len(self._calls) < self._workers):
            self._measured(units / seconds)  # of one worker: a careful guess until all are busy
        if call in self._calls:
            off = min(units, call.units)
            call.units -= off
            self._add(-off)

    def leave(self, call: Call) -> None:
        """The request is answered, or is not going to be."""
        if call in self._calls:
            self._advance()
            self._calls.discard(call)
            self._add(-call.units)
            call.units = 0.0

    def hold(self, size: int) -> bool:
        """Take ``size`` bytes of a body into memory; False when there are too many already."""
        if self._bytes + size > self._max_bytes:
            SHED.labels("bytes").inc()
            return False
        self._bytes += size
        IN_FLIGHT_BYTES.set(self._bytes)
        return True

    def drop(self, size: int) -> None:
        """Give :meth:`hold`'s bytes back."""
        self._bytes -= size
        IN_FLIGHT_BYTES.set(self._bytes)

    # ---- how much is too much -------------------------------------------------------------------

    def _estimate(self, size: int) -> float:
        return FIXED + size / self._candidate_bytes

    def _has_room(self, units: float, timeout_s: float, own: float = 0.0) -> bool:
        others = len(self._calls) + self._announced / FIXED
        mine = units + own
        if not others:
            return True
        if self.speed is None:
            return others < _START_CALLS
        budget = self.speed * self.timeout_s / 2
        if others < 2 * self._workers and mine <= max(budget, _ONE_REQUEST):
            return True  # a worker that is done finds the next one waiting
        if self._units + self._announced + units > budget:
            # Workers take turns: a giant keeps small ones from no more than a part of the room.
            most = budget * _GIANTS_PART
            inside = sum(min(call.units, most) for call in self._calls)
            if mine > most or inside + self._announced + mine > budget:
                return False
        if timeout_s >= self.timeout_s:
            return True
        # For the same reason each other gets as much as this one at most, until this one is done.
        ahead = sum(min(call.units, mine) for call in self._calls)
        return ahead + mine <= self.speed * timeout_s / 2

    def _overloaded(self) -> Overloaded:
        SHED.labels("full").inc()
        return Overloaded(f"{len(self._calls)} requests are in work, as many as get done in time.")

    def _add(self, units: float) -> None:
        self._units = self._units + units if self._calls else 0.0
        IN_FLIGHT_UNITS.set(self._units)

    def _advance(self) -> None:
        """Measure the speed of the time in which all workers had something to do."""
        now = self.clock()
        if len(self._calls) >= self._workers:
            self._busy_s += now - self._then
        else:
            self._done = self._busy_s = 0.0
        self._then = now
        if self._busy_s >= _WINDOW_S:
            self._measured(self._done / self._busy_s)
            self._done = self._busy_s = 0.0

    def _measured(self, speed: float) -> None:
        self.speed = speed if self.speed is None else self.speed + _NEWEST * (speed - self.speed)
        SPEED.set(self.speed)


def units_of(requests: int, candidates: int) -> float:
    """What ``requests`` with ``candidates`` in all cost."""
    return FIXED * requests + candidates
