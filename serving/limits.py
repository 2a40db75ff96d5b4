"""What the HTTP server refuses before any of it reaches the endpoint: bodies that are too large."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from hemix.errors import HemixError

MAX_BODY_BYTES = 1_000_000
"""About ten times the largest sensible request (1,000 candidates with long text ids)."""

MAX_TENSOR_BYTES = 16_000_000
"""Of a predictor: about ten times 1,000 candidates with a hundred columns."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]


class BodyTooLarge(HemixError):
    """A body over :data:`MAX_BODY_BYTES`; the rest of it is never held in memory."""

    exit_code = 8
    http_status = 413


class BodyLimit:
    """ASGI middleware: counts what arrives, believes no Content-Length, answers 413."""

    def __init__(self, app: App, limit: int = MAX_BODY_BYTES) -> None:
        self._app = app
        self._limit = limit

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        parts: list[Message] = []
        size = 0
        more = scope["method"] in ("POST", "PUT", "PATCH")
        while more:
            message = await receive()
            size += len(message.get("body", b""))
            more = message["type"] == "http.request" and bool(message.get("more_body"))
            if size > self._limit:
                parts.clear()  # what is too large is read to its end, so that the client hears us
            else:
                parts.append(message)
        if size > self._limit:
            await self._refuse(send)
            return
        parts.reverse()

        async def replay() -> Message:
            return parts.pop() if parts else await receive()

        await self._app(scope, replay, send)

    async def _refuse(self, send: Send) -> None:
        body = b'{"error": "body: is larger than %d bytes."}' % self._limit
        headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
        await send({"type": "http.response.start", "status": 413, "headers": headers})
        await send({"type": "http.response.body", "body": body})
