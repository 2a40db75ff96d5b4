"""Exposures: one JSON line a request, written by a thread so that no request waits for a disk.

A full disk or queue loses lines, counts them (``hemix_exposures_total``) and fails no request. The
queue is bounded by lines and by bytes: a disk that hangs costs neither memory nor answers.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import orjson

from hemix.errors import StorageError
from hemix.serving.experiments.assignment import Assigned
from hemix.serving.exposures.files import files_at
from hemix.serving.messages.answer import Floats, bytes_of_ids, bytes_of_values
from hemix.serving.messages.request import Value
from hemix.serving.metrics import EXPOSURES

logger = logging.getLogger("hemix.serving")

_QUEUE = 10_000
_QUEUE_BYTES = 64 << 20
_BATCH = 500
_LARGE_BATCH = 5_000
"""Lines of one write to an object store."""


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """What one request was shown, or why it failed after its variant was known.

    ``request_ms`` is the request's own time (now, when it gave none), ``latency_ms`` the time from
    assignment to answer. ``variant`` is the model layer's; ``assigned`` holds every layer's.
    ``version`` is the one that scored. A failed request has an ``error`` and no scores. ``context``
    and ``candidates`` are what the request said, also where the model is served at another value.
    """

    request_id: str
    user_id: int | str
    request_ms: int
    latency_ms: float
    variant: str
    version: str
    assigned: tuple[Assigned, ...]
    item_ids: list[int] | list[str]
    scores: Mapping[str, Floats]
    order: Mapping[str, float] | None = None
    flags: tuple[str, ...] = ()
    error: str = ""
    context: Mapping[str, Value] = field(default_factory=dict)
    candidates: Mapping[str, Sequence[Value | None]] = field(default_factory=dict)


class ExposureLog:
    """Writes exposures to ``location``, a folder (made when absent) or an object store's prefix.

    Args:
        flush_s: longest time a line waits before it is written; None: 1 s, for objects 30 s.
    """

    def __init__(self, location: str | Path, *, flush_s: float | None = None) -> None:
        self._location = location
        self._files = files_at(location)
        self._flush_s = self._files.flush_s if flush_s is None else flush_s
        self._batch = _BATCH if self._flush_s <= 1.0 else _LARGE_BATCH
        self._queue: deque[tuple[float, Exposure]] = deque()
        self._bytes = 0
        self._news = threading.Condition()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="exposures", daemon=True)
        self._failing = False
        self._thread.start()

    def append(self, exposure: Exposure) -> None:
        """Queue an exposure; drops and counts it when the queue is full."""
        size = _size(exposure)
        with self._news:
            if len(self._queue) < _QUEUE and self._bytes + size <= _QUEUE_BYTES:
                self._bytes += size
                self._queue.append((time.time(), exposure))
                if len(self._queue) in (1, self._batch):
                    self._news.notify()
                return
        EXPOSURES.labels("dropped").inc()

    def close(self) -> None:
        """Write what is queued and stop; a disk that hangs is not waited for longer than 10 s."""
        with self._news:
            self._closing = True
            self._news.notify()
        self._thread.join(timeout=10)

    def _run(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._collect()
            if batch:
                self._write(batch)

    def _collect(self) -> tuple[list[tuple[float, Exposure]], bool]:
        """A batch, and whether there may be more after it."""
        with self._news:
            self._news.wait_for(lambda: self._closing or self._queue)
            self._news.wait_for(
                lambda: self._closing or len(self._queue) >= self._batch, self._flush_s
            )
            batch = [self._queue.popleft() for _ in range(min(self._batch, len(self._queue)))]
            self._bytes -= sum(_size(exposure) for _, exposure in batch)
            return batch, bool(self._queue) or not self._closing

    def _write(self, batch: Sequence[tuple[float, Exposure]]) -> None:
        by_hour: dict[str, list[bytes]] = {}
        for when, exposure in batch:
            hour = datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H")
            by_hour.setdefault(hour, []).append(_line(when, exposure))
        for hour, lines in by_hour.items():
            try:
                self._files.write(hour, b"".join(lines))
            except StorageError as error:
                EXPOSURES.labels("lost").inc(len(lines))
                if not self._failing:
                    logger.error("Exposures are being lost: %s", error)
                self._failing = True
            else:
                EXPOSURES.labels("written").inc(len(lines))
                self._failing = False


def _line(when: float, exposure: Exposure) -> bytes:
    return orjson.dumps(
        {
            "request_id": exposure.request_id,
            "time_ms": round(when * 1000),
            "request_ms": exposure.request_ms,
            "latency_ms": round(exposure.latency_ms, 3),
            "user_id": exposure.user_id,
            "variant": exposure.variant,
            "version": exposure.version,
            "layers": {a.layer: a.variant for a in exposure.assigned},
            "epochs": {a.layer: a.epoch for a in exposure.assigned},
            "item_ids": exposure.item_ids,
            "scores": exposure.scores,
            "order": exposure.order,
            "flags": exposure.flags,
            "error": exposure.error,
            "context": exposure.context,
            "candidates": exposure.candidates,
        },
        option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY,
    )


def _size(exposure: Exposure) -> int:
    said = sum(bytes_of_values(values) for values in exposure.candidates.values())
    return 1_000 + bytes_of_ids(exposure.item_ids) + said
