"""Items' rows kept in memory for a while: bounded by age and by bytes, the oldest forgotten first."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import numpy as np

from hemix.features.store.rows import Row

Known = tuple[bool, Row]
_ENTRY = 200
"""Bytes of an entry without its row: places in the dictionary, two tuples, a time."""


class ItemCache:
    """Rows of items by key. Thread-safe.

    Args:
        keep_s: seconds for which a row is good.
        limit: bytes of all rows, as :func:`size_of` estimates them.
    """

    def __init__(self, *, keep_s: float, limit: int) -> None:
        self._keep_s, self._limit = keep_s, limit
        self._rows: OrderedDict[Any, tuple[float, int, Known]] = OrderedDict()
        self._lock = threading.Lock()
        self.bytes = 0

    def get(self, keys: Sequence[Any], now: float) -> list[Known | None]:
        """The row of each key; None where there is none, or none that is fresh at ``now``."""
        found = [self._rows.get(key) for key in keys]
        return [hit[2] if hit is not None and hit[0] >= now else None for hit in found]

    def put(self, rows: dict[Any, Known], now: float) -> None:
        """Keep rows that were read at ``now``."""
        until = now + self._keep_s
        with self._lock:
            for key, row in rows.items():
                size = _ENTRY + size_of(key) + size_of(row[1])
                before = self._rows.pop(key, None)
                self.bytes += size - (before[1] if before is not None else 0)
                self._rows[key] = (until, size, row)
            while self.bytes > self._limit:
                _, (_, size, _) = self._rows.popitem(last=False)
                self.bytes -= size


def size_of(value: Any) -> int:
    """About how many bytes a value takes; the sum of its parts for a row."""
    if isinstance(value, tuple):
        return 56 + 8 * len(value) + sum(size_of(part) for part in value)
    if isinstance(value, str):
        return 56 + len(value) * (1 if value.isascii() else 4)
    if isinstance(value, np.ndarray):
        own = 112 + value.nbytes
        return own + sum(size_of(part) for part in value) if value.dtype == object else own
    return 32
