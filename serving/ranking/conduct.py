"""How versions behave in service: which requests each failed, and when that is enough."""

from __future__ import annotations

import time
from collections import defaultdict, deque

WINDOW = 100
MOST = 5
"""A challenger that failed this many of its last :data:`WINDOW` requests is taken out of service."""

SAY_EVERY_S = 60.0


class Conduct:
    """Counts each version's failures among its last requests. Thread-safe."""

    def __init__(self) -> None:
        self._last: defaultdict[str, deque[bool]] = defaultdict(lambda: deque(maxlen=WINDOW))
        self._said: dict[str, float] = {}

    def answered(self, version: str) -> None:
        """A request went well."""
        self._last[version].append(True)

    def failed(self, version: str) -> bool:
        """A request failed; True when the version is to be taken out, which starts it anew."""
        last = self._last[version]
        last.append(False)
        if last.count(False) < MOST:
            return False
        self._last.pop(version, None)
        return True

    def worth_a_line(self, version: str) -> bool:
        """Whether the log is to hear of a failure: the first, and then one a minute."""
        now = time.monotonic()
        if now < self._said.get(version, 0.0):
            return False
        self._said[version] = now + SAY_EVERY_S
        return True
