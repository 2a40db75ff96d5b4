"""Exposures: one JSON line an answer, appended by a thread so that no request waits for a disk.

``exposures-YYYY-MM-DDTHH.jsonl`` (UTC). A full disk or queue loses lines, counts them
(``hemix_exposures_total``) and fails no request.
"""

from __future__ import annotations

import fcntl
import logging
import os
import queue
import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import orjson

from serving.answer import RankingAnswer
from serving.metrics import EXPOSURES

logger = logging.getLogger("hemix.serving")

_QUEUE = 10_000
_BATCH = 500


class ExposureLog:
    """Appends exposures to hourly files in ``folder``.

    Args:
        folder: made when absent.
        flush_s: longest time a line waits before it is written.
    """

    def __init__(self, folder: Path, *, flush_s: float = 1.0) -> None:
        self._folder = folder
        self._flush_s = flush_s
        self._queue: queue.Queue[tuple[float, RankingAnswer] | None] = queue.Queue(_QUEUE)
        self._thread = threading.Thread(target=self._run, name="exposures", daemon=True)
        self._failing = False
        self._thread.start()

    def append(self, answer: RankingAnswer) -> None:
        """Queue an answer; drops and counts it when the queue is full."""
        try:
            self._queue.put_nowait((time.time(), answer))
        except queue.Full:
            EXPOSURES.labels("dropped").inc()

    def close(self) -> None:
        """Write what is queued and stop."""
        self._queue.put(None)
        self._thread.join(timeout=10)

    def _run(self) -> None:
        open_ = True
        while open_:
            batch, open_ = self._collect()
            if batch:
                self._write(batch)

    def _collect(self) -> tuple[list[tuple[float, RankingAnswer]], bool]:
        batch: list[tuple[float, RankingAnswer]] = []
        deadline = time.monotonic() + self._flush_s
        while len(batch) < _BATCH:
            wait = deadline - time.monotonic()
            try:
                entry = self._queue.get(timeout=wait) if wait > 0 else self._queue.get_nowait()
            except queue.Empty:
                return batch, True
            if entry is None:
                return batch, False
            batch.append(entry)
        return batch, True

    def _write(self, batch: Sequence[tuple[float, RankingAnswer]]) -> None:
        by_hour: dict[str, list[bytes]] = {}
        for when, answer in batch:
            hour = datetime.fromtimestamp(when, UTC).strftime("%Y-%m-%dT%H")
            by_hour.setdefault(hour, []).append(_line(when, answer))
        for hour, lines in by_hour.items():
            path = self._folder / f"exposures-{hour}.jsonl"
            try:
                self._folder.mkdir(parents=True, exist_ok=True)
                _append(path, b"".join(lines))
            except OSError as error:
                EXPOSURES.labels("lost").inc(len(lines))
                if not self._failing:
                    logger.error("%s: exposures are being lost (%s).", path, error.strerror)
                self._failing = True
            else:
                EXPOSURES.labels("written").inc(len(lines))
                self._failing = False


def _line(when: float, answer: RankingAnswer) -> bytes:
    return orjson.dumps(
        {
            "request_id": answer.request_id,
            "time_ms": round(when * 1000),
            "user_id": answer.user_id,
            "variant": answer.variant,
            "version": answer.version,
            "item_ids": answer.item_ids,
            "scores": answer.scores,
            "flags": answer.flags,
        },
        option=orjson.OPT_APPEND_NEWLINE | orjson.OPT_SERIALIZE_NUMPY,
    )


def _append(path: Path, data: bytes) -> None:
    """Append all of ``data`` or none of it."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        size = os.fstat(handle).st_size
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[os.write(handle, rest) :]
        except OSError:
            os.ftruncate(handle, size)
            raise
    finally:
        os.close(handle)
