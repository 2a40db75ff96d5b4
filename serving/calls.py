"""Calls of predictors: kept connections, one deadline, one retry, and a rest after many failures."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hemix.errors import HemixError
from serving.contract import PredictorFaulty, PredictorUnavailable
from serving.metrics import PREDICTOR_ERRORS, PREDICTOR_RETRIES
from serving.tensors import Tensors
from serving.wire import HEADER_LENGTH, unpack

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
        self._failures: dict[str, int] = {}
        self._resting: dict[str, float] = {}

    async def infer(
        self, url: str, version: str, message: Message
    ) -> tuple[dict[str, Any], Tensors]:
        """The outputs of ``version``'s predictor at ``url``.

        Raises:
            PredictorUnavailable: it did not answer in time, or with something else than outputs.
        """
        if time.monotonic() < self._resting.get(version, 0.0):
            raise self._failed(version, url, "resting", "it failed several times in a row")
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._with_retry(url, version, message)
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
        self._failures.pop(version, None)
        return answer

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _with_retry(
        self, url: str, version: str, message: Message
    ) -> tuple[dict[str, Any], Tensors]:
        import aiohttp

        try:
            return await self._post(url, version, message)
        except aiohttp.ClientConnectionError:
            # A kept connection that the other side closed; scoring twice does no harm.
            PREDICTOR_RETRIES.labels(version).inc()
            try:
                return await self._post(url, version, message)
            except aiohttp.ClientConnectionError as error:
                raise OSError(str(error) or type(error).__name__) from error

    async def _post(
        self, url: str, version: str, message: Message
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
                },
            ) as answer:
                body = await answer.read()
                length = answer.headers.get(HEADER_LENGTH)
        except aiohttp.ClientPayloadError as error:
            raise _Refused(f"it broke off its answer ({error})") from error
        if answer.status != 200 or length is None:
            reason = f"it answered {answer.status}: {body[:200].decode(errors='replace')}"
            raise _Refused(reason, faulty=answer.status in (400, 500))
        try:
            return unpack(body, int(length), side="outputs")
        except (HemixError, ValueError) as error:
            raise _Refused(f"its answer is not binary tensors ({error})", faulty=True) from error

    def _failed(self, version: str, url: str, kind: str, reason: str) -> PredictorUnavailable:
        PREDICTOR_ERRORS.labels(version, kind).inc()
        if kind != "resting":
            self._failures[version] = self._failures.get(version, 0) + 1
            if self._failures[version] >= REST_AFTER:
                self._resting[version] = time.monotonic() + self._rest_s
        return PredictorUnavailable(f"Predictor {version} at {url}: {reason}.")


class _Refused(Exception):
    """An answer that holds no scores; ``faulty``: the version itself could not score."""

    def __init__(self, reason: str, *, faulty: bool = False) -> None:
        super().__init__(reason)
        self.faulty = faulty
