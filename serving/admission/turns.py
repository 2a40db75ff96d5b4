"""Worker threads that take turns between requests: a small one need not wait for a giant's end.

Work comes in pieces, a piece a request's candidates at most. The next piece is the one whose
request would be done with it first if all requests were served evenly (weighted fair queueing).
A piece that nobody waits for any more is never begun.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hemix.serving.call import Call


@dataclass(frozen=True)
class _Piece:
    function: Callable[[], Any]
    future: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop
    units: float


class FairWorkers:
    """``threads`` threads; :meth:`submit` is called from an event loop."""

    def __init__(self, threads: int, *, name: str = "rank") -> None:
        self._queue: list[tuple[float, int, _Piece]] = []
        self._numbers = itertools.count()
        self._ready = threading.Condition()
        self._time = 0.0
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, function: Callable[[], Any], *, call: Call, units: float) -> Any:
        """A future of what ``function`` returns, a piece of ``call`` that costs ``units``."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Any] = loop.create_future()
        with self._ready:
            if self._closed:
                raise RuntimeError("The workers are closed.")
            call.finish = max(self._time, call.finish) + units
            piece = _Piece(function, future, loop, units)
            heapq.heappush(self._queue, (call.finish, next(self._numbers), piece))
            self._ready.notify()
        return future

    def close(self) -> None:
        """End the threads when their pieces are done; what is queued is never begun."""
        with self._ready:
            self._closed = True
            self._queue.clear()
            self._ready.notify_all()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while (piece := self._next()) is not None:
            try:
                result, error = piece.function(), None
            except BaseException as raised:
                result, error = None, raised
            with contextlib.suppress(RuntimeError):  # the loop has ended: nobody waits
                piece.loop.call_soon_threadsafe(_deliver, piece.future, result, error)
            del piece, result, error

    def _next(self) -> _Piece | None:
        with self._ready:
            while True:
                while not self._queue and not self._closed:
                    self._ready.wait()
                if self._closed:
                    return None
                _, _, piece = heapq.heappop(self._queue)
                if not piece.future.done():
                    self._time += piece.units / (len(self._queue) + 1)
                    return piece


def _deliver(future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
    if future.done():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
