"""HTTP connections over real sockets, around an app that answers when the test says so."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any

import pytest
import uvicorn

from hemix.serving.admission import connections
from hemix.serving.admission.connections import Connection, watch_arrivals
from hemix.serving.admission.limits import Door
from hemix.serving.admission.room import CALL, Gate
from hemix.serving.call import Call, HungUp
from hemix.serving.launch.ports import take_port
from hemix.serving.metrics import SHED


class App:
    """Answers POSTs once ``go`` is set, and everything else at once."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = 0
        self.ended: list[str] = []
        self.calls: list[Call] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        status, text = 200, b"live"
        if scope["method"] == "POST":
            call = CALL.get()
            assert call is not None
            self.calls.append(call)
            self.begun += 1
            message = await receive()
            text = b"%d bytes" % len(message["body"])
            try:
                await call.run(self._wait())
            except Exception as error:
                self.ended.append(type(error).__name__)
                status, text = getattr(error, "http_status", 500), b"no"
        head = [(b"content-length", b"%d" % len(text))]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": text})

    async def _wait(self) -> None:
        await self.go.wait()


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@contextlib.asynccontextmanager
async def serving(gate: Gate, limit: int = 5_000) -> AsyncIterator[tuple[App, int]]:
    app = App()
    door = Door(app, gate, limit)
    config = uvicorn.Config(
        door, log_config=None, lifespan="off", ws="none", timeout_keep_alive=600
    )
    config.http = partial(Connection, gate=gate)  # type: ignore[assignment]
    server = uvicorn.Server(config)
    listening = take_port("127.0.0.1", 0, option="--port")
    running = asyncio.create_task(server._serve(sockets=[listening]))
    watch = asyncio.create_task(watch_arrivals(server.server_state, gate, every_s=0.01))
    try:
        await until(lambda: server.started)
        yield app, listening.getsockname()[1]
    finally:
        app.go.set()
        watch.cancel()
        server.should_exit = True
        await asyncio.wait_for(running, 30)


def post(size: int = 10, *headers: str, close: bool = False) -> bytes:
    more = "".join(f"{header}\r\n" for header in (*headers, *(["Connection: close"] * close)))
    return (
        f"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n{more}\r\n".encode()
        + b"x" * size
    )


LIVE = b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n"


async def ask(port: int, data: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    reader.writer = writer  # type: ignore[attr-defined]  # one that nobody holds closes itself
    return reader, writer


async def answer(reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
    """Status, head and body of one answer."""
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode().lower()
    size = int(head.split("content-length: ")[1].split("\r\n")[0])
    return int(head.split()[1]), head, await asyncio.wait_for(reader.readexactly(size), 30)


async def until(check: Callable[[], bool]) -> None:
    for _ in range(3_000):
        if check():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def scenario(body: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(body())  # type: ignore[arg-type]


def shed(reason: str) -> float:
    value: float = SHED.labels(reason)._value.get()
    return value


def test_when_full_posts_are_refused_unread_and_health_is_answered() -> None:
    async def body() -> None:
        gate = Gate(workers=1)
        gate.speed = 1.0
        async with serving(gate) as (app, port):
            inside = [await ask(port, post()) for _ in range(2)]
            await until(lambda: app.begun == 2)
            before = shed("full")
            reader, writer = await ask(port, post(4_000)[:200])  # its body is still under way
            status, head, text = await answer(reader)
            assert status == 503
            assert "retry-after: 1" in head
            assert b"full" in text
            writer.write(post(4_000)[200:])
            writer.write(LIVE)  # the same connection goes on
            assert (await answer(reader))[0] == 200
            reader, _ = await ask(port, post(10, close=True))
            assert (await answer(reader))[0] == 503
            assert await asyncio.wait_for(reader.read(), 30) == b"", "closed as the client asked"
            reader, _ = await ask(port, post(10, "Expect: 100-continue")[:-10])
            assert (await answer(reader))[0] == 503
            assert shed("full") == before + 3
            assert app.begun == 2
            app.go.set()
            for reader, _ in inside:
                status, _, text = await answer(reader)
                assert (status, text) == (200, b"10 bytes")
            await until(lambda: not gate.full(10))

    scenario(body)


def test_many_that_arrive_at_once_do_not_slip_in_together() -> None:
    async def body() -> None:
        gate = Gate(workers=1)
        gate.speed = 1.0
        async with serving(gate) as (app, port):
            conversations = await asyncio.gather(*(ask(port, post()) for _ in range(40)))
            await until(lambda: app.begun >= 1)
            statuses = []
            waiting = [asyncio.create_task(answer(reader)) for reader, _ in conversations]
            await until(lambda: sum(task.done() for task in waiting) >= 38)
            app.go.set()
            statuses = [(await task)[0] for task in waiting]
            assert statuses.count(200) <= 2
            assert statuses.count(503) >= 38

    scenario(body)


def test_hanging_up_ends_the_call_and_frees_its_room() -> None:
    async def body() -> None:
        gate = Gate(workers=1)
        gate.speed = 1.0
        async with serving(gate) as (app, port):
            conversations = [await ask(port, post()) for _ in range(2)]
            await until(lambda: app.begun == 2)
            assert gate.full(0)
            for _, writer in conversations:
                writer.close()
            await until(lambda: app.ended == ["HungUp", "HungUp"])
            await until(lambda: not gate.full(0))
            with pytest.raises(HungUp):
                app.calls[0].check()

    scenario(body)


def test_the_callers_deadline_ends_the_call() -> None:
    async def body() -> None:
        gate = Gate(workers=4)
        async with serving(gate) as (app, port):
            reader, _ = await ask(port, post(10, "X-Request-Timeout-Ms: 30"))
            assert (await answer(reader))[0] == 504
            assert app.ended == ["Expired"]
            reader, _ = await ask(port, post(10, "X-Request-Timeout-Ms: soon"))
            status, _, text = await answer(reader)
            assert status == 400
            assert b"x-request-timeout-ms" in text
            assert app.begun == 1

    scenario(body)


def test_bodies_are_bounded_one_by_one_and_together() -> None:
    async def body() -> None:
        gate = Gate(workers=4, max_bytes=6_000)
        async with serving(gate) as (app, port):
            reader, _ = await ask(port, post(5_001))
            assert (await answer(reader))[0] == 413
            first, _ = await ask(port, post(4_000))
            await until(lambda: app.begun == 1)
            reader, _ = await ask(port, post(4_000))
            status, head, _ = await answer(reader)
            assert status == 503
            assert "retry-after" in head
            app.go.set()
            assert (await answer(first))[2] == b"4000 bytes"
            reader, _ = await ask(port, post(4_000))
            assert (await answer(reader))[0] == 200
            assert gate._bytes in (0, 4_000)

    scenario(body)


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-One: " + b"b" * 40_000,  # not even at its end
        b"GET / HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % n for n in range(150)) + b"\r\n",
        b"POST /p HTTP/1.1\r\n" + b"X-Y: " + b"c" * 39_000 + b"\r\nContent-Length: 1\r\n\r\nx",
    ],
)
def test_heads_that_are_too_large_are_431(head: bytes) -> None:
    async def body() -> None:
        async with serving(Gate()) as (app, port):
            reader, _ = await ask(port, head)
            status, text, _ = await answer(reader)
            assert status == 431
            assert "connection: close" in text
            assert await asyncio.wait_for(reader.read(), 30) == b""
            assert app.begun == 0
            reader, _ = await ask(port, LIVE)
            assert (await answer(reader))[0] == 200

    scenario(body)


@pytest.mark.parametrize(
    "part", [b"", b"POST /p HTTP/1.1\r\nHost", post(500)[:-400], LIVE + b"GET /li"]
)
def test_what_trickles_is_cut_and_what_is_worked_on_is_not(part: bytes) -> None:
    async def body() -> None:
        clock = Clock()
        gate = Gate(workers=4, timeout_s=1_000, clock=clock)
        async with serving(gate) as (app, port):
            whole, _ = await ask(port, post())
            kept, kept_writer = await ask(port, LIVE)
            assert (await answer(kept))[0] == 200
            slow, _ = await ask(port, part)
            await until(lambda: app.begun >= 1)
            if part.startswith(LIVE):
                assert (await answer(slow))[0] == 200
            await asyncio.sleep(0.05)
            clock.now += connections.ARRIVAL_S + 1
            rest = await asyncio.wait_for(slow.read(), 30)
            assert not rest or b" 408 " in rest
            app.go.set()
            assert (await answer(whole))[0] == 200
            kept_writer.write(LIVE)
            assert (await answer(kept))[0] == 200, "between requests a connection may be silent"
            await until(lambda: gate._bytes == 0)

    scenario(body)


def test_over_the_limit_of_connections_only_health_is_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)

    async def body() -> None:
        async with serving(Gate()) as (app, port):
            idle = [await ask(port, LIVE) for _ in range(3)]
            for reader, _ in idle:
                assert (await answer(reader))[0] == 200
            reader, _ = await ask(port, post())
            status, _, text = await answer(reader)
            assert (status, app.begun) == (503, 0)
            assert b"connections" in text
            assert await asyncio.wait_for(reader.read(), 30) == b""
            reader, _ = await ask(port, LIVE)
            assert (await answer(reader))[0] == 200
            assert await asyncio.wait_for(reader.read(), 30) == b"", "not kept"
            idle[0][1].close()
            app.go.set()
            await asyncio.sleep(0.05)
            reader, _ = await ask(port, post())
            assert (await answer(reader))[0] == 200

    scenario(body)
