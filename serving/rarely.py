"""Warnings that a fault would otherwise write once per request."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable


class Rarely:
    """Logs a warning at once, the next ones together, at most one line every ``every_s``."""

    def __init__(
        self,
        logger: logging.Logger,
        *,
        every_s: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._logger, self._every_s, self._clock = logger, every_s, clock
        self._lock = threading.Lock()
        self._next = float("-inf")
        self._unsaid = 0

    def warn(self, text: str, *args: object) -> None:
        """Log, or count for the next line."""
        with self._lock:
            if self._clock() < self._next:
                self._unsaid += 1
                return
            self._next = self._clock() + self._every_s
            unsaid, self._unsaid = self._unsaid, 0
        more = f" (and {unsaid} times since the last such line)" if unsaid else ""
        self._logger.warning(f"{text}%s", *args, more)
