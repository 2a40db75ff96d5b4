"""Calls of predictors: kept connections, one deadline, one retry, and a rest after many failures.

A predictor that is full says so (503 with Retry-After): it lives, and is neither asked again for
the same request nor left alone.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hemix.breaker import Breaker
from hemix.errors import HemixError
from hemix.serving.call import Expired, Overloaded, expired
from hemix.serving.deadline import TIMEOUT_HEADER
from hemix.serving.metrics import DEPENDENCY_ALONE, PREDICTOR_ERRORS, PREDICTOR_RETRIES
from hemix.serving.protocol.v2_binary import HEADER_LENGTH, unpack
from hemix.serving.protocol.v2_tensors import Tensors
from hemix.serving.ranking.loading import PredictorFaulty, PredictorUnavailable

if TYPE_CHECKING:
    import aiohttp

REST_AFTER = 3
"""Failures in a row after which a predictor is left alone for ``rest_s``."""


@dataclass(frozen=True, kw_only=True)
class Message:
    """A V2 body for a version's predictor; ``json_length`` is where its tensors begin.

    ``sampled`` messages ask for the transformed columns of watched features too.
    """

    body: bytes
    json_length: int
    sampled: bool = False


class PredictorCalls:
    """Asks predictors for scores. Lives in the event loop's thread.

    Args:
        deadline_s: longest time of a call, its retry included.
        rest_s: how long a predictor that failed :data:`REST_AFTER` times in a row is not asked.
        connections: kept open a predictor.
    """

    def __init__(self, *, deadline_s: float, rest_s: float = 1.0, connections: int = 64) -> None:
        self._deadline_s = deadline_s
        self._rest_s = rest_s
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None
        self._breakers: dict[str, Breaker] = {}

    async def infer(
        self, url: str, version: str, message: Message, *, left_s: float | None = None
    ) -> tuple[dict[str, Any], Tensors]:
        """The outputs of ``version``'s predictor at ``url``.

        Args:
            url: the predictor's address, no path.
            version: its name.
            message: the request's tensors.
            left_s: seconds that the request's own caller still waits; the predictor is told.

        Raises:
            PredictorUnavailable: it did not answer in time, or with something else than outputs.
            Overloaded: it answers, and has no room.
            Expired: it answers that the request's own caller waits no longer.
        """
        breaker = self._breaker(version)
        if not breaker.allows():
            raise self._failed(version, url, "resting", "it failed several times in a row")
        seconds = self._deadline_s if left_s is None else min(self._deadline_s, left_s)
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._with_retry(url, version, message, seconds)
        except TimeoutError as error:
            reason = f"no answer in {self._deadline_s} s"
            raise self._failed(version, url, "deadline", reason) from error
        except _Refused as error:
            failure = self._failed(version, url, "status", str(error))
            if error.faulty:
                failure = PredictorFaulty(str(failure))
            raise failure from error
        except OSError as error:  # aiohttp's connection errors are
            raise self._failed(version, url, "connection", str(error)) from error
        except (Overloaded, Expired):
            breaker.succeeded()
            raise
        breaker.succeeded()
        return answer

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _with_retry(
        self, url: str, version: str, message: Message, seconds: float
    ) -> tuple[dict[str, Any], Tensors]:
        import aiohttp

        try:
            return await self._post(url, version, message, seconds)
        except aiohttp.ClientConnectionError:
            # A kept connection that the other side closed; scoring twice does no harm.
            PREDICTOR_RETRIES.labels(version).inc()
            try:
                return await self._post(url, version, message, seconds)
            except aiohttp.ClientConnectionError as error:
                raise OSError(str(error) or type(error).__name__) from error

    async def _post(
        self, url: str, version: str, message: Message, seconds: float
    ) -> tuple[dict[str, Any], Tensors]:
        import aiohttp

        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0, limit_per_host=self._connections)
            timeout = aiohttp.ClientTimeout(total=None)  # the deadline around the call is ours
            self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        try:
            async with self._session.post(
                f"{url}/v2/models/{version}/infer",
                data=message.body,
                headers={
                    "Content-Type": "application/octet-stream",
                    HEADER_LENGTH: str(message.json_length),
                    TIMEOUT_HEADER: str(max(1, round(seconds * 1000))),
                },
            ) as answer:
                body = await answer.read()
                length = answer.headers.get(HEADER_LENGTH)
        except aiohttp.ClientPayloadError as error:
            raise _Refused(f"it broke off its answer ({error})") from error
        if answer.status == 503 and "Retry-After" in answer.headers:
            raise Overloaded(f"Predictor {version} at {url} is full.")
        if answer.status == 504 and seconds < self._deadline_s:  # the caller's time, not its own
            raise expired()
        if answer.status != 200 or length is None:
            reason = f"it answered {answer.status}: {body[:200].decode(errors='replace')}"
            raise _Refused(reason, faulty=answer.status in (400, 500))
        try:
            return unpack(body, int(length), side="outputs")
        except (HemixError, ValueError) as error:
            raise _Refused(f"its answer is not binary tensors ({error})", faulty=True) from error

    def _breaker(self, version: str) -> Breaker:
        if version not in self._breakers:
            alone = DEPENDENCY_ALONE.labels("predictor", version)
            alone.set(0)
            self._breakers[version] = Breaker(
                f"Predictor {version}", failures=REST_AFTER, rest_s=self._rest_s, changed=alone.set
            )
        return self._breakers[version]

    def _failed(self, version: str, url: str, kind: str, reason: str) -> PredictorUnavailable:
        PREDICTOR_ERRORS.labels(version, kind).inc()
        if kind != "resting":
            self._breaker(version).failed(reason)
        return PredictorUnavailable(f"Predictor {version} at {url}: {reason}.")


class _Refused(Exception):
    """An answer that holds no scores; ``faulty``: the version itself could not score."""

    def __init__(self, reason: str, *, faulty: bool = False) -> None:
        super().__init__(reason)
        self.faulty = faulty
