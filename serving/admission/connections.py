"""HTTP connections: limits on what a client may send and how slowly, and refusals that cost little.

uvicorn's own protocol, but for:

- a POST that there is no room for is answered 503 from its head alone: no task, no ASGI, its body
  is thrown away as it arrives. Such a connection is read again after a pause: :data:`PAUSE_S`, and
  more when there are many, so that clients that do not wait as Retry-After says get no more than
  :data:`REFUSALS` refusals a second, and leave the process to those that are let in;
- a head over :data:`MAX_HEAD` bytes or :data:`MAX_HEADERS` fields is answered 431;
- a head or body that is not there :data:`ARRIVAL_S` after it began is answered 408;
- over :data:`MAX_CONNECTIONS` no POST is taken, and each connection is closed after its answer;
- when a connection ends, so do its requests (:meth:`hemix.serving.call.Call.end`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from hemix.serving.admission.limits import ARRIVED, CALLS, RETRY_AFTER_S
from hemix.serving.admission.room import Gate
from hemix.serving.call import Call, HungUp
from hemix.serving.metrics import REQUESTS, SHED

MAX_HEAD = 32_768
MAX_HEADERS = 100
ARRIVAL_S = 10.0
IDLE_S = 65
"""How long a kept connection may be silent between requests; longer than a gateway's pool keeps it."""
MAX_CONNECTIONS = 4_096
PAUSE_S = 0.05
REFUSALS = 1_000

_POST = b"POST"
_503 = REQUESTS.labels("", "", "503")


def _answer(status: str, text: str, *headers: str) -> bytes:
    body = f'{{"error": "{text}"}}'
    head = (f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(body)}")
    return "\r\n".join((*head, *headers, "", body)).encode()


_RETRY = f"retry-after: {RETRY_AFTER_S}"
_AGAIN = "Try again in a second."
_FULL = _answer("503 Service Unavailable", f"The endpoint is full. {_AGAIN}", _RETRY)
_CROWDED = _answer(
    *("503 Service Unavailable", f"There are too many connections. {_AGAIN}"),
    *(_RETRY, "connection: close"),
)
_FULL_CLOSE = _FULL.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n", 1)
_HEAD = _answer(
    "431 Request Header Fields Too Large",
    f"The request's head is larger than {MAX_HEAD} bytes or {MAX_HEADERS} fields.",
    "connection: close",
)
_SLOW = _answer(
    "408 Request Timeout",
    f"The request was not there {ARRIVAL_S:g} s after it began.",
    "connection: close",
)


class Connection(HttpToolsProtocol):
    """One HTTP connection."""

    def __init__(self, *args: Any, gate: Gate, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._gate = gate
        self._calls: set[Call] = set()
        self._since: float | None = None
        """When the request that is arriving began; None between requests."""
        self._head, self._fields, self._head_is_there = 0, 0, False
        self._throw_away = self._close_after = False
        self._announced = 0.0
        self._body = 0
        self._dead = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._since = self._gate.clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._dead = True
        self._withdraw()
        for call in tuple(self._calls):
            call.end(HungUp("The client left."))
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._dead:
            return
        if self._since is None:
            self._since = self._gate.clock()
        if not self._head_is_there:
            self._head += len(data)
        super().data_received(data)
        if not self._head_is_there and self._head > MAX_HEAD:
            self._cut(_HEAD, "431", "headers")

    def cut_if_slow(self, now: float) -> None:
        """End the connection when what it began is still not there."""
        if self._since is not None and now - self._since > ARRIVAL_S and not self.pipeline:
            self._cut(_SLOW, "408", "slow")

    # ---- the parser's callbacks -----------------------------------------------------------------

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope[CALLS] = self._calls  # type: ignore[literal-required]
        self._since = self._since or self._gate.clock()
        self.scope[ARRIVED] = self._withdraw  # type: ignore[literal-required]
        self._body = 0
        self._head_is_there, self._fields = False, 0

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._dead:
            return
        super().on_header(name, value)
        self._fields += len(name) + len(value) + 4
        if self._fields > MAX_HEAD or len(self.headers) > MAX_HEADERS:
            self._cut(_HEAD, "431", "headers")

    def on_headers_complete(self) -> None:
        self._head, self._head_is_there = 0, True
        if not self._dead and self._fields + len(self.url) > MAX_HEAD:
            self._cut(_HEAD, "431", "headers")
        if self._dead:
            return
        idle = self.cycle is None or self.cycle.response_complete
        if idle and self.parser.get_method() == _POST:
            if len(self.connections) > MAX_CONNECTIONS:
                self._refuse(_CROWDED, "connections", close=True)
                return
            if self._gate.full(self._length()):
                close = self.expect_100_continue or not self.parser.should_keep_alive()
                self._refuse(_FULL_CLOSE if close else _FULL, "full", close=close)
                return
        super().on_headers_complete()
        if len(self.connections) > MAX_CONNECTIONS:
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._body += len(body)
        if not self._dead and not self._throw_away:
            super().on_body(body)

    def on_message_complete(self) -> None:
        self._since = None
        if self._dead:
            return
        if not self._throw_away:
            super().on_message_complete()
            if self.parser.get_method() == _POST:
                self._announced += self._gate.announce(self._body)
            return
        self._throw_away = False
        if self._close_after:
            self._end()
            return
        self.timeout_keep_alive_task = self.loop.call_later(
            self.timeout_keep_alive, self.timeout_keep_alive_handler
        )
        self.flow.pause_reading()
        self._gate.resting += 1
        self.loop.call_later(max(PAUSE_S, self._gate.resting / REFUSALS), self._read_again)

    def _read_again(self) -> None:
        self._gate.resting -= 1
        self.flow.resume_reading()

    # ---- refusing -------------------------------------------------------------------------------

    def _withdraw(self) -> None:
        self._gate.withdraw(self._announced)
        self._announced = 0.0

    def _length(self) -> int:
        for name, value in self.headers:
            if name == b"content-length" and value.isdigit():
                return int(value)
        return 0

    def _refuse(self, answer: bytes, reason: str, *, close: bool) -> None:
        """Answer at once; the body is thrown away as it comes."""
        SHED.labels(reason).inc()
        _503.inc()
        self.transport.write(answer)
        self._throw_away, self._close_after = True, close
        if self.expect_100_continue:  # there will be no body
            self._end()

    def _cut(self, answer: bytes, status: str, reason: str) -> None:
        """End a connection that does not do as it should."""
        SHED.labels(reason).inc()
        if self.cycle is None or self.cycle.response_complete:
            REQUESTS.labels("", "", status).inc()
            self.transport.write(answer)
        self._end()

    def _end(self) -> None:
        self._dead = True
        self.transport.close()


async def watch_arrivals(state: ServerState, gate: Gate, every_s: float = 1.0) -> None:
    """Cut slow connections, for ever."""
    while True:
        await asyncio.sleep(every_s)
        now = gate.clock()
        for connection in tuple(state.connections):
            if isinstance(connection, Connection):
                connection.cut_if_slow(now)
