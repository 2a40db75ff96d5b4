"""One request on its way through the process: until when someone waits for it, and whether still."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hemix.errors import HemixError

T = TypeVar("T")

AGAIN = "Try again in a second."


class Overloaded(HemixError):
    """There is more to do than the endpoint can answer in time."""

    exit_code = 10
    http_status = 503

    def __init__(self, message: str, *, hint: str = AGAIN) -> None:
        super().__init__(message, hint=hint)


class Expired(HemixError):
    """The request's deadline passed before its answer was there."""

    exit_code = 10
    http_status = 504


class HungUp(HemixError):
    """The client does not wait any more; nobody reads this."""

    exit_code = 10
    http_status = 499


class Call:
    """A request that was let in.

    ``units`` is what is left to do for it. :meth:`check` may be called from any thread, the rest
    from the event loop's.
    """

    def __init__(
        self,
        *,
        units: float = 0.0,
        deadline: float = float("inf"),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.units = units
        self.deadline = deadline
        self.size = 0
        self.finish = 0.0
        """Where this request stands in the workers' order (:mod:`hemix.serving.admission.turns`)."""
        self.ended: HemixError | None = None
        self._clock = clock
        self._waiting: set[asyncio.Future[Any]] = set()

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.deadline - self._clock()

    def check(self) -> None:
        """Raise :class:`Expired` or :class:`HungUp` when nobody waits for the answer any more."""
        if self.ended is not None:
            raise self.ended
        if self._clock() >= self.deadline:
            raise expired()

    def end(self, error: HemixError) -> None:
        """Nobody waits any more: what is queued is never begun, who awaits it gets ``error``."""
        if self.ended is None:
            self.ended = error
            for future in tuple(self._waiting):
                if not future.done():
                    future.set_exception(error)

    async def wait(self, future: asyncio.Future[T]) -> T:
        """Await ``future``, or the end."""
        self.check()
        self._waiting.add(future)
        try:
            return await future
        finally:
            self._waiting.discard(future)

    async def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Await a coroutine; it is cancelled at the end."""
        task = asyncio.ensure_future(work)
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def ready(_: object) -> None:
            if not over.done():
                over.set_result(None)

        task.add_done_callback(ready)
        try:
            await self.wait(over)
            return await task
        finally:
            task.cancel()


def expired() -> Expired:
    """The error of a deadline that passed."""
    return Expired("The request's deadline passed before it was answered.", hint=AGAIN)
