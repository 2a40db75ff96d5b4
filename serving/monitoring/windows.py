"""Sums over a sliding window of time, in slots that fall out one by one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Sums = npt.NDArray[np.float64]


class SlidingSums:
    """Adds arrays under names and answers with their sums over the last ``slots * slot_s`` seconds.

    Args:
        slot_s: width of a slot; what is older than all slots is forgotten a slot at a time.
        clock: seconds, never going back.
    """

    def __init__(self, *, slots: int, slot_s: float, clock: Callable[[], float]) -> None:
        self._slot_s = slot_s
        self._clock = clock
        self._slots: deque[tuple[int, dict[str, Sums]]] = deque()
        self._keep = slots

    def add(self, name: str, values: npt.ArrayLike) -> None:
        """Add ``values`` to the sums of ``name``; their length stays the same for a name."""
        now = self._now()
        if not self._slots or self._slots[-1][0] != now:
            self._slots.append((now, {}))
        sums = self._slots[-1][1]
        array = np.asarray(values, dtype=np.float64)
        sums[name] = sums[name] + array if name in sums else array.copy()

    def totals(self) -> dict[str, Sums]:
        """The sums of every name that was seen within the window."""
        now = self._now()
        while self._slots and self._slots[0][0] <= now - self._keep:
            self._slots.popleft()
        found: dict[str, Sums] = {}
        for _, sums in self._slots:
            for name, values in sums.items():
                found[name] = found[name] + values if name in found else values
        return found

    def _now(self) -> int:
        return int(self._clock() // self._slot_s)
