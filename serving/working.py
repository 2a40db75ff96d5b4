"""The part that both KServe models share: a few worker threads, a bound on waiting, counted errors.

Imported by :mod:`serving.endpoint` and :mod:`serving.predictor` only: it needs kserve at import.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from kserve import Model

from hemix.errors import HemixError
from serving.metrics import REQUESTS

logger = logging.getLogger("hemix.serving")

P = ParamSpec("P")
T = TypeVar("T")


class Overloaded(HemixError):
    """More requests wait than the endpoint can answer in time."""

    exit_code = 10
    http_status = 503


class NotWarm(HemixError):
    """The model is still loading."""

    exit_code = 10
    http_status = 503


class WorkingModel(Model):
    """A KServe model whose work runs on threads beside the event loop.

    Health checks and metrics so answer under load. At most ``max_waiting`` requests wait; more get
    503 at once, and so do all before ``ready`` is set.
    """

    def __init__(self, name: str, *, workers: int, max_waiting: int) -> None:
        super().__init__(name)
        self._workers = ThreadPoolExecutor(workers, thread_name_prefix="rank")
        self._max_waiting = max_waiting
        self._waiting = 0

    def load(self) -> bool:
        """kserve calls this when a request finds the model not ready; ours gets ready by itself."""
        return self.ready

    def start(self) -> None:
        """Registering the model does not make it ready."""

    def validate(self, payload: Any) -> Any:
        """Ours is checked in preprocess, field by field."""
        return payload

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.require_ready()
        if self._waiting >= self._max_waiting:
            REQUESTS.labels("", "", "503").inc()
            raise Overloaded(
                f"{self._waiting} requests are waiting.", hint="Try again in a second."
            )
        self._waiting += 1
        try:
            return await super().__call__(*args, **kwargs)
        except HemixError as error:
            REQUESTS.labels("", "", str(error.http_status)).inc()
            raise
        except Exception:
            REQUESTS.labels("", "", "500").inc()
            logger.exception("A request failed.")
            raise
        finally:
            self._waiting -= 1

    @property
    def answers_by_version(self) -> bool:
        """Whether a request may name the version that answers it."""
        return True

    def live_versions(self) -> list[str]:
        """The versions that answer requests."""
        return [self.name]

    def require_ready(self) -> None:
        """Raise :class:`NotWarm` until the model is ready."""
        if not self.ready:
            raise NotWarm(f"{self.name} is still loading.", hint="Try again in a second.")

    async def work(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``function`` on a worker thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._workers, lambda: function(*args, **kwargs))

    def close(self) -> None:
        """Let the threads end."""
        self._workers.shutdown(wait=True, cancel_futures=True)
