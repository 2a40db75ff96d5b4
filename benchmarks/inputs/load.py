"""A light load generator: prepared bytes over raw sockets, open loop (Poisson) or closed.

One asyncio process; an answer is read no further than its status and its length. Open loop: requests
are sent when they are due, whatever became of those before, each on a connection that is free or on
a new one; what cannot even be sent counts as failed.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

PATH = "/v1/models/ranker:predict"


def request(body: bytes, timeout_s: float) -> bytes:
    """The bytes of a ranking request whose caller waits ``timeout_s``."""
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: load\r\nContent-Type: application/json\r\n"
        f"X-Request-Timeout-Ms: {round(timeout_s * 1000)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


@dataclass
class Seen:
    """What came back: seconds by status; 0 stands for no answer at all."""

    seconds: dict[int, list[float]] = field(default_factory=dict)

    def add(self, status: int, seconds: float) -> None:
        self.seconds.setdefault(status, []).append(seconds)

    def count(self, *statuses: int) -> int:
        return sum(len(self.seconds.get(status, [])) for status in statuses)

    def good(self, timeout_s: float) -> int:
        """Answered 200 within the deadline."""
        return sum(1 for second in self.seconds.get(200, []) if second <= timeout_s)

    def milliseconds(self, status: int, percentile: float) -> float | None:
        found = self.seconds.get(status)
        return round(float(np.percentile(found, percentile)) * 1000, 1) if found else None


class _Client(asyncio.Protocol):
    """One connection: a request at a time."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.future: asyncio.Future[int] | None = None
        self._buffer = b""
        self._left = -1
        self._status = 0
        self.closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, data: bytes) -> asyncio.Future[int]:
        assert self.transport is not None
        self.future = asyncio.get_running_loop().create_future()
        self._buffer, self._left = b"", -1
        self.transport.write(data)
        return self.future

    def data_received(self, data: bytes) -> None:
        if self._left < 0:
            self._buffer += data
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            head = self._buffer[:end].lower()
            self._status = int(head[9:12])
            self.closing = b"connection: close" in head
            size = int(head.split(b"content-length:")[1].split(b"\r\n")[0])
            self._left = size - (len(self._buffer) - end - 4)
        else:
            self._left -= len(data)
        if self._left <= 0:
            self._done(self._status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._done(0)

    def _done(self, status: int) -> None:
        if self.future is not None and not self.future.done():
            self.future.set_result(status)


class Load:
    """Sends ``requests`` in turn to ``host:port``."""

    def __init__(self, host: str, port: int, requests: Sequence[bytes], *, wait_s: float) -> None:
        self._host, self._port, self._requests = host, port, requests
        self._wait_s = wait_s
        self._free: list[_Client] = []
        self._random = random.Random(0)
        self._next = 0

    async def open_loop(self, rate: float, seconds: float, seen: Seen) -> int:
        """Poisson arrivals of ``rate`` a second for ``seconds``; how many there were."""
        started = time.perf_counter()
        due, tasks = started, []
        while (due := due + self._random.expovariate(rate)) < started + seconds:
            wait = due - time.perf_counter()
            if wait > 0:
                await asyncio.sleep(wait)
            tasks.append(asyncio.create_task(self._one(due, seen)))
        await asyncio.gather(*tasks)
        return len(tasks)

    async def closed_loop(self, clients: int, seconds: float, seen: Seen) -> None:
        """``clients`` that each send their next request when they have the answer."""
        end = time.perf_counter() + seconds

        async def client() -> None:
            while (now := time.perf_counter()) < end:
                await self._one(now, seen)

        await asyncio.gather(*(client() for _ in range(clients)))

    async def hung_up(self, rate: float, seconds: float, after_s: float) -> int:
        """Clients that send a request and close their connection ``after_s`` later; how many."""
        end, count = time.perf_counter() + seconds, 0
        while time.perf_counter() < end:
            await asyncio.sleep(self._random.expovariate(rate))
            client = await self._connect()
            future = client.ask(self._body())
            assert client.transport is not None
            asyncio.get_running_loop().call_later(after_s, client.transport.close)
            future.cancel()
            count += 1
        await asyncio.sleep(after_s)
        return count

    async def probe(self, path: str, every_s: float, seen: Seen) -> None:
        """Ask for ``path`` on a new connection every ``every_s``, as a kubelet does, for ever."""
        text = f"GET {path} HTTP/1.1\r\nHost: load\r\nConnection: close\r\n\r\n".encode()
        while True:
            began = time.perf_counter()
            status = 0
            try:
                client = await self._connect()
                status = await asyncio.wait_for(client.ask(text), 30)
            except (OSError, TimeoutError):
                pass
            seen.add(status, time.perf_counter() - began)
            await asyncio.sleep(every_s)

    def close(self) -> None:
        """Close what is kept."""
        for client in self._free:
            if client.transport is not None:
                client.transport.close()
        self._free.clear()

    async def _one(self, due: float, seen: Seen) -> None:
        status = 0
        try:
            client = await self._client()
            status = await asyncio.wait_for(client.ask(self._body()), self._wait_s)
            if not client.closing:
                self._free.append(client)
        except (OSError, TimeoutError):
            pass
        seen.add(status, time.perf_counter() - due)

    def _body(self) -> bytes:
        self._next = (self._next + 1) % len(self._requests)
        return self._requests[self._next]

    async def _client(self) -> _Client:
        while self._free:
            client = self._free.pop()
            if not client.closing:
                return client
        return await self._connect()

    async def _connect(self) -> _Client:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(_Client, self._host, self._port)
        return client
