"""What the HTTP server refuses before any of it is parsed: too large, or too much at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from hemix.errors import HemixError
from hemix.serving.admission.room import CALL, Gate
from hemix.serving.call import HungUp, Overloaded, expired
from hemix.serving.deadline import timeout_of
from hemix.serving.metrics import REQUESTS, SHED

MAX_BODY_BYTES = 1_000_000
"""About ten times the largest sensible request (1,000 candidates with long text ids)."""

MAX_TENSOR_BYTES = 16_000_000
"""Of a predictor: about ten times 1,000 candidates with a hundred columns."""

RETRY_AFTER_S = 1
"""What a refusal tells its client."""

CALLS = "hemix.calls"
"""Key of an ASGI scope: the calls that end when the connection does (:mod:`hemix.serving.admission.connections`)."""

ARRIVED = "hemix.arrived"
"""Key of an ASGI scope: called once the body is read, before the gate is asked."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class BodyTooLarge(HemixError):
    """A body over the limit; the rest of it is never held in memory."""

    exit_code = 8
    http_status = 413


def too_large(limit: int, when: str = "") -> BodyTooLarge:
    """What is said of a body over the limit, which the limits of its parts together may exceed."""
    return BodyTooLarge(
        f"body: is larger than {limit} bytes{when}; send fewer requests or candidates at a time: "
        f"1,000 candidates fit when each takes at most {limit // 1_100} bytes, as it is written."
    )


class Door:
    """ASGI middleware that lets requests in: bodies up to ``limit`` bytes, as many as ``gate`` says.

    It counts what arrives and believes no Content-Length. Whatever is refused here was not parsed.
    """

    def __init__(self, app: App, gate: Gate, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._gate = gate
        self._limit = limit

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] not in ("POST", "PUT", "PATCH"):
            await self._app(scope, receive, send)
            return
        began = self._gate.clock()
        body = _Body(self._gate, self._limit)
        try:
            try:
                await body.read(receive)
                timeout_s = timeout_of(scope["headers"])
                if timeout_s is not None:
                    timeout_s -= self._gate.clock() - began
                    if timeout_s <= 0:
                        SHED.labels("expired").inc()
                        raise expired()
                scope.get(ARRIVED, lambda: None)()
                call = self._gate.enter(body.size, timeout_s)
            except HungUp:
                SHED.labels("hung_up").inc()
                REQUESTS.labels("", "", "499").inc()
                return
            except HemixError as error:
                REQUESTS.labels("", "", str(error.http_status)).inc()
                await _refuse(error, send)
                return
            await self._work(call, body, scope, receive, send)
        finally:
            self._gate.drop(body.held)

    async def _work(
        self,
        call: Any,
        body: _Body,
        scope: MutableMapping[str, Any],
        receive: Receive,
        send: Send,
    ) -> None:
        calls = scope.get(CALLS, set())
        calls.add(call)
        timer = asyncio.get_running_loop().call_later(
            max(0.0, call.left_s), lambda: call.end(expired())
        )
        token = CALL.set(call)
        parts = iter(body.parts)

        async def replay() -> Message:
            return next(parts, None) or await receive()

        try:
            await self._app(scope, replay, send)
        finally:
            CALL.reset(token)
            timer.cancel()
            calls.discard(call)
            self._gate.leave(call)


class _Body:
    """A body as it arrives, counted at the gate."""

    def __init__(self, gate: Gate, limit: int) -> None:
        self._gate, self._limit = gate, limit
        self.parts: list[Message] = []
        self.size = 0
        self.held = 0

    async def read(self, receive: Receive) -> None:
        """Read to the end, also what is refused, so that the client hears us.

        Raises:
            BodyTooLarge: it is larger than the limit.
            Overloaded: the bodies in memory are too many already.
            HungUp: the client left before its end.
        """
        refused: HemixError | None = None
        more = True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise HungUp("The client left.")
            arrived = len(message.get("body", b""))
            more = bool(message.get("more_body"))
            self.size += arrived
            if refused is None and self.size > self._limit:
                refused = too_large(self._limit)
            if refused is None and not self._gate.hold(arrived):
                refused = Overloaded("The bodies of other requests fill the memory set aside.")
            if refused is None:
                self.held += arrived
                self.parts.append(message)
            else:
                self.parts.clear()
        if refused is not None:
            raise refused


def retry_headers(error: HemixError) -> dict[str, str]:
    """Headers of an error's answer: when to come again, where that may help."""
    return {"Retry-After": str(RETRY_AFTER_S)} if error.http_status == 503 else {}


async def _refuse(error: HemixError, send: Send) -> None:
    body = json.dumps({"error": str(error)}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if error.http_status == 413:
        headers.append((b"connection", b"close"))
    headers += [(k.lower().encode(), v.encode()) for k, v in retry_headers(error).items()]
    await send({"type": "http.response.start", "status": error.http_status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
