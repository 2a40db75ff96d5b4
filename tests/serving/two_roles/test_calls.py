"""Calls of a predictor that misbehaves: a small server on loopback that does what a test says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
import pytest

from hemix.serving.call import Expired, Overloaded
from hemix.serving.metrics import PREDICTOR_ERRORS, PREDICTOR_RETRIES
from hemix.serving.protocol.v2_binary import HEADER_LENGTH, pack
from hemix.serving.ranking.loading import PredictorFaulty, PredictorUnavailable
from hemix.serving.two_roles.predictor_client import REST_AFTER, Message, PredictorCalls

Behaviour = Callable[[asyncio.StreamWriter], Awaitable[bool]]
"""Answers one request; False closes the connection."""

BODY, LENGTH = pack({"score_click": np.array([0.5], np.float32)}, request_id="r", side="outputs")
MESSAGE = Message(body=b"{}", json_length=2)


class Server:
    """Counts connections and requests; ``behave`` answers each request."""

    def __init__(self, behave: Behaviour) -> None:
        self.behave = behave
        self.connections = 0
        self.requests = 0
        self.url = ""
        self.head = b""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                self.head = head = await reader.readuntil(b"\r\n\r\n")
                size = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
                await reader.readexactly(size)
                self.requests += 1
                if not await self.behave(writer):
                    break
        writer.close()


@contextlib.asynccontextmanager
async def running(behave: Behaviour) -> AsyncIterator[Server]:
    server = Server(behave)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()


async def good(writer: asyncio.StreamWriter) -> bool:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(BODY)}\r\n{HEADER_LENGTH}: {LENGTH}\r\n\r\n"
    writer.write(head.encode() + BODY)
    await writer.drain()
    return True


def answering(status: str, body: bytes, headers: str = "") -> Behaviour:
    async def behave(writer: asyncio.StreamWriter) -> bool:
        head = f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        return True

    return behave


def errors(version: str, reason: str) -> float:
    value: float = PREDICTOR_ERRORS.labels(version, reason)._value.get()
    return value


async def click(server: Server, calls: PredictorCalls, version: str) -> float:
    _, outputs = await calls.infer(server.url, version, MESSAGE)
    return float(outputs["score_click"][0])


def test_connections_are_kept() -> None:
    async def scenario() -> None:
        async with running(good) as server:
            calls = PredictorCalls(deadline_s=30)
            for _ in range(5):
                assert await click(server, calls, "kept") == 0.5
            await calls.close()
            assert (server.connections, server.requests) == (1, 5)

    asyncio.run(scenario())


def test_a_kept_connection_that_was_closed_is_tried_once_more() -> None:
    async def scenario() -> None:
        answers = iter([True, False, True])

        async def behave(writer: asyncio.StreamWriter) -> bool:
            return await good(writer) if next(answers) else False

        async with running(behave) as server:
            calls = PredictorCalls(deadline_s=30)
            before = PREDICTOR_RETRIES.labels("stale")._value.get()
            assert await click(server, calls, "stale") == 0.5
            assert await click(server, calls, "stale") == 0.5
            assert PREDICTOR_RETRIES.labels("stale")._value.get() - before == 1
            assert server.connections == 2
            await calls.close()

    asyncio.run(scenario())


def test_a_predictor_that_hangs_costs_the_deadline_and_no_more() -> None:
    async def scenario() -> None:
        async def hang(writer: asyncio.StreamWriter) -> bool:
            await asyncio.sleep(3600)
            return False

        async with running(hang) as server:
            calls = PredictorCalls(deadline_s=0.2)
            with pytest.raises(
                PredictorUnavailable, match=f"hung at {server.url}: no answer in 0.2"
            ):
                await asyncio.wait_for(click(server, calls, "hung"), timeout=30)
            assert errors("hung", "deadline") == 1
            assert server.requests == 1, "a deadline is not tried again"
            await calls.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("version", "behave", "text"),
    [
        ("broken", answering("500 Internal Server Error", b'{"error": "boom"}'), "500: .*boom"),
        ("busy", answering("503 Service Unavailable", b""), "answered 503"),
        ("json", answering("200 OK", b"{}"), "answered 200"),
        ("noise", answering("200 OK", b"noise", f"{HEADER_LENGTH}: 3\r\n"), "not binary tensors"),
        ("number", answering("200 OK", b"noise", f"{HEADER_LENGTH}: x\r\n"), "not binary tensors"),
        ("short", answering("200 OK", BODY[:-1], f"{HEADER_LENGTH}: {LENGTH}\r\n"), "score_click"),
    ],
)
def test_answers_without_scores_are_no_answers(version: str, behave: Behaviour, text: str) -> None:
    async def scenario() -> None:
        async with running(behave) as server:
            calls = PredictorCalls(deadline_s=30)
            with pytest.raises(PredictorUnavailable, match=text):
                await click(server, calls, version)
            assert errors(version, "status") == 1
            await calls.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("version", "behave", "faulty"),
    [
        ("fails", answering("500 Internal Server Error", b""), True),
        ("refuses", answering("400 Bad Request", b""), True),
        ("lies", answering("200 OK", b"{}xx", f"{HEADER_LENGTH}: 2\r\n"), True),
        ("loads", answering("503 Service Unavailable", b""), False),
        ("moved", answering("404 Not Found", b""), False),
    ],
)
def test_a_failure_of_the_version_itself_is_told_from_one_of_its_place(
    version: str, behave: Behaviour, faulty: bool
) -> None:
    async def scenario() -> None:
        async with running(behave) as server:
            calls = PredictorCalls(deadline_s=30)
            with pytest.raises(PredictorUnavailable) as caught:
                await click(server, calls, version)
            assert isinstance(caught.value, PredictorFaulty) is faulty
            await calls.close()

    asyncio.run(scenario())


def test_an_answer_that_breaks_off_is_no_answer() -> None:
    async def scenario() -> None:
        async def half(writer: asyncio.StreamWriter) -> bool:
            head = f"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n{HEADER_LENGTH}: {LENGTH}\r\n\r\n"
            writer.write(head.encode() + BODY)
            await writer.drain()
            return False

        async with running(half) as server:
            calls = PredictorCalls(deadline_s=30)
            with pytest.raises(PredictorUnavailable, match="half at"):
                await click(server, calls, "half")
            await calls.close()

    asyncio.run(scenario())


def test_one_that_fails_again_and_again_is_left_alone_for_a_while() -> None:
    async def scenario() -> None:
        async with running(answering("500 Oh", b"")) as server:
            calls = PredictorCalls(deadline_s=30, rest_s=0.3)
            for _ in range(REST_AFTER):
                with pytest.raises(PredictorUnavailable, match="answered 500"):
                    await click(server, calls, "tired")
            with pytest.raises(PredictorUnavailable, match="several times in a row"):
                await click(server, calls, "tired")
            assert server.requests == REST_AFTER
            server.behave = good
            await asyncio.sleep(0.4)
            assert await click(server, calls, "tired") == 0.5
            server.behave = answering("500 Oh", b"")
            with pytest.raises(PredictorUnavailable, match="answered 500"):
                await click(server, calls, "tired")
            assert server.requests == REST_AFTER + 2, "one failure after a success is no row"
            await calls.close()

    asyncio.run(scenario())


def test_a_full_predictor_lives_and_a_callers_own_deadline_is_no_fault_of_it() -> None:
    async def scenario() -> None:
        async with running(answering("503 Busy", b"", "Retry-After: 1\r\n")) as server:
            calls = PredictorCalls(deadline_s=30, rest_s=3600)
            for number in range(2 * REST_AFTER):
                with pytest.raises(Overloaded, match="is full"):
                    await click(server, calls, "full")
                assert server.requests == number + 1, "it is not tried again for one request"
            server.behave = answering("504 Late", b"")
            for _ in range(2 * REST_AFTER):
                with pytest.raises(Expired):
                    await calls.infer(server.url, "full", MESSAGE, left_s=0.5)
            server.behave = good
            assert await click(server, calls, "full") == 0.5, "it was never left alone"
            server.behave = answering("504 Late", b"")
            with pytest.raises(PredictorUnavailable, match="504"):
                await calls.infer(server.url, "full", MESSAGE, left_s=60)
            await calls.close()

    asyncio.run(scenario())


def test_the_predictor_is_told_how_long_the_caller_waits() -> None:
    async def scenario() -> None:
        async with running(good) as server:
            calls = PredictorCalls(deadline_s=30)
            await calls.infer(server.url, "told", MESSAGE, left_s=0.25)
            assert b"x-request-timeout-ms: 250\r\n" in server.head.lower()
            await calls.infer(server.url, "told", MESSAGE)
            assert b"x-request-timeout-ms: 30000\r\n" in server.head.lower()
            await calls.close()

    asyncio.run(scenario())


def test_a_trial_is_one_request_however_many_ask() -> None:
    async def scenario() -> None:
        async with running(answering("500 Oh", b"")) as server:
            calls = PredictorCalls(deadline_s=30, rest_s=0.1)
            for _ in range(REST_AFTER):
                with pytest.raises(PredictorUnavailable):
                    await click(server, calls, "trial")
            await asyncio.sleep(0.2)
            asked = [asyncio.create_task(click(server, calls, "trial")) for _ in range(20)]
            await asyncio.gather(*asked, return_exceptions=True)
            assert server.requests == REST_AFTER + 1
            await calls.close()

    asyncio.run(scenario())


def test_no_one_listening_is_said() -> None:
    async def scenario() -> None:
        calls = PredictorCalls(deadline_s=30)
        with pytest.raises(PredictorUnavailable, match=r"gone at http://127\.0\.0\.1:9"):
            await calls.infer("http://127.0.0.1:9", "gone", MESSAGE)
        assert errors("gone", "connection") == 1
        await calls.close()

    asyncio.run(scenario())
