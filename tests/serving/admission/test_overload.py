"""A real endpoint under more than it can do, in one process and in two roles."""

from __future__ import annotations

import concurrent.futures
import json
import socket
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hemix.serving.client import to_v2
from tests.serving.live import TIME_MS, Endpoint, Workshop, start_endpoint
from tests.serving.roles import start_split

pytestmark = pytest.mark.slow
V1, V2 = "/v1/models/ranker:predict", "/v2/models/ranker/infer"


@pytest.fixture(scope="module", params=["one process", "two roles"])
def tight(
    request: pytest.FixtureRequest, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Endpoint]:
    """An endpoint whose callers wait a long time, with one worker."""
    root = tmp_path_factory.mktemp("overload")
    workshop.deploy(root, "v1")
    if request.param == "one process":
        with start_endpoint(root, "--timeout", "60", "--workers", "1") as endpoint:
            yield endpoint
    else:
        (root / "split").mkdir()
        with start_split(workshop, root, root / "split", ("v1",)) as split:
            yield split.transformer


def giant(workshop: Workshop, requests: int = 16) -> dict[str, Any]:
    users, items = workshop.known(users=requests, items=1_000)
    return {
        "instances": [
            {"user_id": user, "item_ids": items, "request_id": f"giant-{at}"}
            for at, user in enumerate(users)
        ]
    }


def raw(path: str, body: object, *headers: str) -> bytes:
    data = json.dumps(body).encode()
    head = [f"POST {path} HTTP/1.1", "Host: x", "Content-Type: application/json"]
    head += [f"Content-Length: {len(data)}", *headers, "", ""]
    return "\r\n".join(head).encode() + data


def connect(endpoint: Endpoint) -> socket.socket:
    address = urlsplit(endpoint.url)
    return socket.create_connection((str(address.hostname), address.port), timeout=60)


def value(endpoint: Endpoint, name: str) -> float:
    return endpoint.metrics().get(name, 0.0)


def until(endpoint: Endpoint, name: str, at_least: float) -> None:
    deadline = time.monotonic() + 60
    while value(endpoint, name) < at_least:
        assert time.monotonic() < deadline, f"{name}: {value(endpoint, name)}"
        time.sleep(0.05)


def answered(endpoint: Endpoint) -> float:
    found = endpoint.metrics()
    return sum(v for k, v in found.items() if k.startswith("hemix_requests_total") and '"200"' in k)


def test_a_client_that_hangs_up_is_not_answered_counted_or_exposed(
    tight: Endpoint, workshop: Workshop
) -> None:
    before = answered(tight)
    hung_up = value(tight, 'hemix_shed_total{reason="hung_up"}')
    for _ in range(3):
        connection = connect(tight)
        connection.sendall(raw(V1, giant(workshop)))
        time.sleep(0.05)
        connection.close()
    until(tight, 'hemix_shed_total{reason="hung_up"}', hung_up + 3)
    small = {"user_id": 1, "item_ids": [1], "request_id": "after-them", "timestamp_ms": TIME_MS}
    assert tight.v1(small)[0] == 200
    assert answered(tight) == before + 1
    assert value(tight, "hemix_in_flight_units") == 0
    assert value(tight, "hemix_in_flight_bytes") == 0
    exposed = _exposed(tight, "after-them")
    assert not any(line["request_id"].startswith("giant-") for line in exposed)


def _exposed(endpoint: Endpoint, last: str) -> list[dict[str, Any]]:
    folder = endpoint.root / "exposures"
    deadline = time.monotonic() + 60
    while True:
        files = sorted(folder.glob("exposures-*.jsonl")) if folder.is_dir() else []
        lines = [json.loads(line) for file in files for line in file.read_text().splitlines()]
        if any(line["request_id"] == last for line in lines):
            return lines
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.mark.parametrize("path", [V1, V2])
def test_a_deadline_that_cannot_be_kept_is_504_and_costs_nothing(
    tight: Endpoint, workshop: Workshop, path: str
) -> None:
    users, items = workshop.known(users=1, items=1_000)
    instance = {"user_id": users[0], "item_ids": items, "timestamp_ms": TIME_MS}
    body = {"instances": [instance]} if path == V1 else to_v2(instance)
    before = answered(tight)
    status, said = tight.post(path, body, **{"X-Request-Timeout-Ms": "1"})
    assert status in (503, 504)
    assert "deadline" in said["error"] or "in work" in said["error"]
    status, said = tight.post(path, body, **{"X-Request-Timeout-Ms": "soon"})
    assert status == 400
    assert "x-request-timeout-ms" in said["error"]
    assert answered(tight) == before
    assert tight.post(path, body)[0] == 200


def test_full_is_503_with_retry_after_while_health_is_answered(
    tight: Endpoint, workshop: Workshop
) -> None:
    """Callers that wait half a second, more of them than that is enough for."""
    users, items = workshop.known(users=20, items=100)

    def one(number: int) -> tuple[int, str | None]:
        body = {"user_id": users[number % 20], "item_ids": items}
        request = urllib.request.Request(
            f"{tight.url}{V1}",
            data=json.dumps({"instances": [body] * 4}).encode(),
            headers={"Content-Type": "application/json", "X-Request-Timeout-Ms": "500"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return answer.status, None
        except urllib.error.HTTPError as error:
            return error.code, error.headers["Retry-After"]

    with concurrent.futures.ThreadPoolExecutor(24) as pool:
        found = pool.map(one, range(72))
        for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/ranker/ready"):
            with urllib.request.urlopen(f"{tight.url}{path}", timeout=60) as answer:
                assert answer.status == 200
        statuses = list(found)
    assert {status for status, _ in statuses} <= {200, 503, 504}
    refused = [again for status, again in statuses if status == 503]
    assert refused, statuses
    assert set(refused) == {"1"}
    assert tight.v1({"user_id": users[0], "item_ids": items})[0] == 200


def test_grpc_clients_that_leave_or_wait_too_short_cost_nothing(
    tight: Endpoint, workshop: Workshop
) -> None:
    import grpc

    from hemix.serving.protocol.kserving import import_kserve

    import_kserve()
    from kserve import InferInput, InferRequest
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    users, items = workshop.known(users=1, items=1_000)
    message = InferRequest(
        model_name="ranker",
        infer_inputs=[
            InferInput(name="user_id", shape=[1], datatype="INT64", data=users[:1]),
            InferInput(name="item_ids", shape=[len(items)], datatype="INT64", data=items),
        ],
    ).to_grpc()
    before = answered(tight)
    with grpc.insecure_channel(tight.grpc) as channel:
        stub = GRPCInferenceServiceStub(channel)
        assert stub.ModelInfer(message, timeout=60).model_name == "ranker"
        with pytest.raises(grpc.RpcError) as late:
            stub.ModelInfer(message, timeout=0.001)
        assert late.value.code() in (
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.UNAVAILABLE,
        )
        calls = [stub.ModelInfer.future(message, timeout=60) for _ in range(30)]
        for call in calls:
            call.cancel()
        refused = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
        assert all(call.cancelled() or call.code() in refused for call in calls)
        assert stub.ModelInfer(message, timeout=60).model_name == "ranker"
    deadline = time.monotonic() + 60
    while value(tight, "hemix_in_flight_units"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert value(tight, "hemix_in_flight_bytes") == 0
    assert answered(tight) - before < 15


def test_a_grpc_refusal_says_when_to_come_again(tmp_path: Path) -> None:
    """The door alone, around a service of one method."""
    import asyncio

    import grpc
    from google.rpc.error_details_pb2 import RetryInfo
    from google.rpc.status_pb2 import Status
    from grpc import aio

    from hemix.serving.admission.grpc_calls import GrpcDoor
    from hemix.serving.admission.room import Gate

    method = "/inference.GRPCInferenceService/ModelInfer"

    async def scenario() -> None:
        gate = Gate(workers=1)
        gate.speed = 1.0
        inside = [gate.enter(10) for _ in range(2)]
        asked: list[bytes] = []

        async def infer(request: bytes, _: Any) -> bytes:
            asked.append(request)
            return b"scores"

        server = aio.server(interceptors=(GrpcDoor(gate),))
        handler = grpc.unary_unary_rpc_method_handler(infer)
        service = grpc.method_handlers_generic_handler(
            "inference.GRPCInferenceService", {"ModelInfer": handler, "ServerLive": handler}
        )
        server.add_generic_rpc_handlers((service,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call = channel.unary_unary(method)
            with pytest.raises(aio.AioRpcError) as refused:
                await call(b"hello", timeout=30)
            assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
            trailing = dict(refused.value.trailing_metadata())
            assert trailing["grpc-retry-pushback-ms"] == "1000"
            status = Status.FromString(trailing["grpc-status-details-bin"])
            assert (status.code, status.message) == (14, refused.value.details())
            info = RetryInfo()
            assert status.details[0].Unpack(info)
            assert info.retry_delay.seconds == 1
            assert not asked
            live = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
            assert await live(b"", timeout=30) == b"scores"
            for one in inside:
                gate.leave(one)
            assert await call(b"hello", timeout=30) == b"scores"
            assert gate._bytes == 0
            assert not gate._calls
        await server.stop(None)

    asyncio.run(scenario())
