"""The load generator counts what a small server did, whatever it did."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter

from benchmarks.inputs.load import Load, Seen, request


class Small:
    """Answers every third request 503, hangs up on every fifth, and the rest 200 in two parts."""

    def __init__(self) -> None:
        self.asked, self.did = 0, Counter[int]()
        self.heads: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                if b"Content-Length" in head:
                    await reader.readexactly(int(head.split(b"Content-Length: ")[1].split()[0]))
                self.asked += 1
                status = 503 if self.asked % 3 == 0 else 0 if self.asked % 5 == 0 else 200
                self.did[status] += 1
                if not status:
                    break
                writer.write(b"HTTP/1.1 %d X\r\nContent-Length: 6\r\n\r\nabc" % status)
                await writer.drain()
                writer.write(b"def")
        writer.close()


def test_open_and_closed_loops_count_every_request_once() -> None:
    async def scenario() -> None:
        small = Small()
        server = await asyncio.start_server(small.serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        load = Load("127.0.0.1", port, [request(b"{}", 0.25), request(b"[]", 0.25)], wait_s=30)
        seen = Seen()
        sent = await load.open_loop(400.0, 0.5, seen)
        assert 100 < sent < 320
        await load.closed_loop(3, 0.2, seen)
        assert seen.count(0, 200, 503) == small.asked > sent
        assert {status: seen.count(status) for status in (0, 200, 503)} == dict(small.did)
        assert seen.good(60.0) == seen.count(200)
        assert seen.good(0.0) == 0
        assert b"X-Request-Timeout-Ms: 250" in small.heads[0]
        left = await load.hung_up(100.0, 0.1, 0.0)
        assert left > 0
        load.close()
        server.close()

    asyncio.run(scenario())
