"""The part that all our KServe models share: who is let in, worker threads, counted errors.

Imported by :mod:`hemix.serving.protocol.endpoint` and :mod:`hemix.serving.two_roles.predictor_model` only: it needs kserve at import.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from kserve import Model

from hemix.errors import HemixError
from hemix.serving.admission.room import CALL, Gate
from hemix.serving.admission.turns import FairWorkers
from hemix.serving.call import Call, Expired, HungUp
from hemix.serving.metrics import REQUESTS, SHED, STAGE_SECONDS

logger = logging.getLogger("hemix.serving")

P = ParamSpec("P")
T = TypeVar("T")


class NotWarm(HemixError):
    """The model is still loading."""

    exit_code = 10
    http_status = 503


class ThreadedModel(Model):
    """A KServe model whose work runs on threads beside the event loop.

    Health checks and metrics so answer under load. ``gate`` says who is let in: the servers ask it
    before a body is parsed (:mod:`hemix.serving.admission.limits`,
    :mod:`hemix.serving.admission.grpc_calls`), and requests that reach the model otherwise ask it here. All get 503 before ``ready`` is set.
    """

    def __init__(self, name: str, *, workers: int, gate: Gate) -> None:
        super().__init__(name)
        self.gate = gate
        self.documents: dict[str, bytes] = {}
        """JSON of its own that the server shows at ``/v2/models/<name>/<document>``."""
        self._workers = FairWorkers(workers)

    def load(self) -> bool:
        """Called by kserve when a request finds the model not ready. No-op: the loader sets readiness."""
        return self.ready

    def start(self) -> None:
        """Registering the model does not make it ready."""

    def validate(self, payload: Any) -> Any:
        """Ours is checked in preprocess, field by field."""
        return payload

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        call = CALL.get()
        own = call is None
        try:
            self.require_ready()
            if call is None:
                call = self.gate.enter(0)
                CALL.set(call)
            call.check()
            return await super().__call__(*args, **kwargs)
        except asyncio.CancelledError:  # a gRPC client left
            if call is not None:
                call.end(HungUp("The client left."))
            _count(HungUp("The client left."))
            raise
        except HemixError as error:
            _count(error)
            raise
        except Exception:
            REQUESTS.labels("", "", "500").inc()
            logger.exception("A request failed.")
            raise
        finally:
            if own and call is not None:
                CALL.set(None)
                self.gate.leave(call)

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

    @property
    def call(self) -> Call:
        """The request that the running task is about."""
        call = CALL.get()
        assert call is not None
        return call

    async def work(
        self, units: float, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run ``function`` on a worker thread, a piece of the request that costs ``units``.

        Raises:
            Expired, HungUp: nobody waits for the request any more; it is not begun, or its result
                is dropped.
        """
        call, asked = self.call, time.perf_counter()

        def piece() -> tuple[T, float]:
            start = time.perf_counter()
            STAGE_SECONDS.labels("wait").observe(start - asked)
            call.check()
            return function(*args, **kwargs), time.perf_counter() - start

        call.check()
        result, seconds = await call.wait(self._workers.submit(piece, call=call, units=units))
        self.gate.done(call, units, seconds)
        return result

    def close(self) -> None:
        """Let the threads end."""
        self._workers.close()


def _count(error: HemixError) -> None:
    REQUESTS.labels("", "", str(error.http_status)).inc()
    if isinstance(error, Expired):
        SHED.labels("expired").inc()
    elif isinstance(error, HungUp):
        SHED.labels("hung_up").inc()
