"""A breaker: what fails again and again is left alone for a while, and tried by one caller at a time.

Closed, everyone asks. After ``failures`` failures in a row, the first of them ``over_s`` ago, it
opens: nobody asks, but for one trial every ``rest_s``. A success closes it. What answers, though too
late for whoever asked, is slow and not silent, perhaps for want of CPU: that is borne for ``slow_s``.
Each change is one log line and one call of ``changed``, however many requests there are.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger("hemix.serving")


class Breaker:
    """Whether something remote is worth asking. Thread-safe.

    Args:
        what: what is asked, for the log.
        failures: failures in a row that open it, at least.
        over_s: how long nothing may have succeeded before it opens: a few slow answers in one
            crowded moment are no outage.
        slow_s: the same while late answers come.
        rest_s: pause before a trial, and between trials.
        changed: told True when it opens and False when it closes.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        what: str,
        *,
        failures: int = 3,
        over_s: float = 0.0,
        slow_s: float = 3.0,
        rest_s: float = 1.0,
        changed: Callable[[bool], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.what = what
        self.rest_s = rest_s
        self._needed, self._over_s, self._slow_s = failures, over_s, slow_s
        self._changed, self._clock = changed, clock
        self._lock = threading.Lock()
        self._silent, self._silent_since = 0, 0.0
        self._failures, self._since = 0, 0.0
        self._opened: float | None = None
        self._next_trial = 0.0

    @property
    def is_open(self) -> bool:
        """True while it is left alone."""
        return self._opened is not None

    def allows(self) -> bool:
        """Whether to ask now; once every ``rest_s`` when open. Who asked says how it went."""
        if self._opened is None:
            return True
        with self._lock:
            now = self._clock()
            if self._opened is not None and now < self._next_trial:
                return False
            self._next_trial = now + self.rest_s
            return True

    def succeeded(self) -> None:
        """It answered."""
        if not self._failures and self._opened is None:
            return
        with self._lock:
            opened, self._opened = self._opened, None
            self._failures = self._silent = 0
        if opened is not None:
            logger.warning("%s answers again, after %.1f s.", self.what, self._clock() - opened)
            self._changed(False)

    def late(self) -> None:
        """It answered, too late for whoever asked."""
        with self._lock:
            self._silent = 0

    def failed(self, reason: object, *, took_s: float = 0.0) -> bool:
        """It did not answer, ``took_s`` after it was asked; whether that opened it."""
        with self._lock:
            now = self._clock()
            if not self._failures:
                self._since = now - took_s
            if not self._silent:
                self._silent_since = now - took_s
            self._failures += 1
            self._silent += 1
            silent = self._silent >= self._needed and now - self._silent_since >= self._over_s
            slow = self._failures >= self._needed and now - self._since >= self._slow_s
            opens = self._opened is None and (silent or slow)
            if opens:
                self._opened = now
            if self._opened is not None:
                self._next_trial = now + self.rest_s
        if opens:
            logger.error("%s is left alone, tried every %g s: %s", self.what, self.rest_s, reason)
            self._changed(True)
        return opens
