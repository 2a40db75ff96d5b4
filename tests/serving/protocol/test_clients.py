"""The clients of the field against a running endpoint: tritonclient, kserve's own, httpx."""

from __future__ import annotations

import asyncio
import gzip
import json
import struct
import subprocess
import sys
import urllib.error
import urllib.request
import zlib
from typing import Any

import numpy as np
import pytest

from hemix.serving.protocol.kserving import import_kserve
from hemix.serving.protocol.v2_binary import HEADER_LENGTH, pack, unpack
from tests.serving.live import ROOT, TIME_MS, Endpoint, Workshop

import_kserve()  # before anything imports its parts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

ALL = ["user_id", "item_ids", "ranked_item_ids", "version", "variant", "flags", "unknown_items"]


@pytest.fixture(scope="module")
def known(workshop: Workshop) -> tuple[int, list[int]]:
    users, items = workshop.known(users=1, items=6)
    return users[0], items


@pytest.fixture(scope="module")
def expected(endpoint: Endpoint, known: tuple[int, list[int]]) -> dict[str, Any]:
    """The prediction of V1."""
    user, items = known
    status, body = endpoint.v1({"user_id": user, "item_ids": items, "timestamp_ms": TIME_MS})
    assert status == 200
    prediction: dict[str, Any] = body["predictions"][0]
    return prediction


def check(expected: dict[str, Any], found: dict[str, Any]) -> None:
    """``found``: arrays by output name."""
    plain = {name: [_text(v) for v in array.ravel().tolist()] for name, array in found.items()}
    assert plain["ranked_item_ids"] == expected["ranked_item_ids"]
    assert plain["version"] == [expected["version"]]
    assert plain["flags"] == expected["flags"]
    for task, scores in expected["scores"].items():
        assert np.array_equal(np.float32(plain[f"score_{task}"]), np.float32(scores))


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def names(expected: dict[str, Any]) -> list[str]:
    return [*ALL, *(f"score_{task}" for task in expected["scores"])]


@pytest.mark.parametrize("binary", [True, False])
@pytest.mark.parametrize("asked", [None, True, False])
@pytest.mark.parametrize("packed", [None, "gzip", "deflate"])
def test_tritonclient_over_http(
    endpoint: Endpoint,
    known: tuple[int, list[int]],
    expected: dict[str, Any],
    binary: bool,
    asked: bool | None,
    packed: str | None,
) -> None:
    import tritonclient.http as triton

    inputs = _triton_inputs(triton, known, binary_data=binary)
    outputs = None
    if asked is not None:
        outputs = [triton.InferRequestedOutput(n, binary_data=asked) for n in names(expected)]
    client = triton.InferenceServerClient(endpoint.url.removeprefix("http://"))
    answer = client.infer(
        "ranker",
        inputs,
        outputs=outputs,
        request_id="mine",
        request_compression_algorithm=packed,
        response_compression_algorithm=packed,
    )
    check(expected, {name: answer.as_numpy(name) for name in names(expected)})
    assert answer.get_response()["id"] == "mine"
    client.close()


def by_grpc(
    endpoint: Endpoint, known: tuple[int, list[int]], outputs: list[str] | None, packed: str | None
) -> dict[str, Any]:
    """What tritonclient says in a process of its own."""
    user, items = known
    request = {
        "address": endpoint.grpc,
        "inputs": {"user_id": [user], "item_ids": items, "timestamp_ms": [TIME_MS]},
        "outputs": outputs,
        "compression": packed,
    }
    command = [sys.executable, "-m", "tests.serving.protocol.triton_grpc", json.dumps(request)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


@pytest.mark.parametrize("packed", [None, "gzip"])
def test_tritonclient_over_grpc(
    endpoint: Endpoint, known: tuple[int, list[int]], expected: dict[str, Any], packed: str | None
) -> None:
    found = by_grpc(endpoint, known, None, packed)
    check(expected, {name: np.array(values) for name, values in found["outputs"].items()})
    assert (found["platform"], found["versions"]) == ("hemix", ["v1", "v2"])
    assert (found["live"], found["ready"]) == (True, [True, True, True])
    for asked, field in (("other/", "model: other"), ("ranker/none", "version: none")):
        status, message = found[asked]
        assert status == "StatusCode.NOT_FOUND"
        assert message.startswith(field)


def test_tritonclient_over_grpc_gets_what_it_asks_for(
    endpoint: Endpoint, known: tuple[int, list[int]]
) -> None:
    assert list(by_grpc(endpoint, known, ["flags", "version"], None)["outputs"]) == [
        "flags",
        "version",
    ]
    status, message = by_grpc(endpoint, known, ["none"], None)["refused"]
    assert status == "StatusCode.INVALID_ARGUMENT"
    assert message.startswith("outputs.0.name: none is not an output; known: user_id, item_ids")


def test_tritonclient_over_http_finds_the_versions(endpoint: Endpoint) -> None:
    import tritonclient.http as triton

    client = triton.InferenceServerClient(endpoint.url.removeprefix("http://"))
    assert client.is_server_live()
    assert client.is_server_ready()
    metadata = client.get_model_metadata("ranker")
    assert (metadata["platform"], metadata["versions"]) == ("hemix", ["v1", "v2"])
    for version in ("", "v1", "v2"):
        assert client.is_model_ready("ranker", version)
        assert client.get_model_metadata("ranker", version)
    for name, version in (("ranker", "v9"), ("other", "")):
        with pytest.raises(triton.InferenceServerException, match=r"(version|model): "):
            client.get_model_metadata(name, version)
    client.close()


def _triton_inputs(triton: Any, known: tuple[int, list[int]], **options: bool) -> list[Any]:
    user, items = known
    inputs = []
    for name, values in (("user_id", [user]), ("item_ids", items), ("timestamp_ms", [TIME_MS])):
        tensor = triton.InferInput(name, [len(values)], "INT64")
        tensor.set_data_from_numpy(np.array(values, np.int64), **options)
        inputs.append(tensor)
    return inputs


def _kserve_request(known: tuple[int, list[int]], *, binary: bool) -> Any:
    from kserve import InferInput, InferRequest

    user, items = known
    inputs = []
    for name, values in (("user_id", [user]), ("item_ids", items), ("timestamp_ms", [TIME_MS])):
        tensor = InferInput(name, [len(values)], "INT64")
        tensor.set_data_from_numpy(np.array(values, np.int64), binary_data=binary)
        inputs.append(tensor)
    return InferRequest("ranker", inputs, request_id="mine")


@pytest.mark.parametrize("binary", [True, False])
def test_kserves_own_clients(
    endpoint: Endpoint, known: tuple[int, list[int]], expected: dict[str, Any], binary: bool
) -> None:
    from kserve import InferenceGRPCClient, InferenceRESTClient
    from kserve.inference_client import RESTConfig

    async def ask() -> tuple[Any, Any, Any]:
        rest = InferenceRESTClient(RESTConfig(protocol="v2", retries=0, timeout=60))
        grpc = InferenceGRPCClient(endpoint.grpc, timeout=60)
        try:
            return (
                await rest.infer(endpoint.url, _kserve_request(known, binary=binary), "ranker"),
                await grpc.infer(_kserve_request(known, binary=binary)),
                await rest.is_model_ready(endpoint.url, "ranker"),
            )
        finally:
            await rest.close()
            await grpc.close()

    by_rest, by_grpc, ready = asyncio.run(ask())
    assert ready
    for answer in (by_rest, by_grpc):
        assert answer.id == "mine"
        check(expected, {output.name: output.as_numpy() for output in answer.outputs})


def test_httpx_gets_what_it_asks_for(
    endpoint: Endpoint, known: tuple[int, list[int]], expected: dict[str, Any]
) -> None:
    import httpx

    user, items = known
    body = {
        "inputs": [
            {"name": "user_id", "shape": [1], "datatype": "INT64", "data": [user]},
            {"name": "item_ids", "shape": [len(items)], "datatype": "INT64", "data": items},
        ]
    }
    url = f"{endpoint.url}/v2/models/ranker/infer"
    with httpx.Client(timeout=60) as client:
        one = client.post(url, json={**body, "outputs": [{"name": "flags"}]})
        assert one.json()["outputs"] == [
            {"name": "flags", "shape": [0], "datatype": "BYTES", "data": []}
        ]
        none = client.post(url, json={**body, "outputs": [{"name": "flag"}]})
        assert none.status_code == 400
        assert none.json()["error"].startswith(
            "outputs.0.name: flag is not an output; known: user_id"
        )
        bare = client.post(url, content=json.dumps(body))
        assert bare.status_code == 200, "JSON without a content type"
        many = {"instances": [{"user_id": user, "item_ids": items * 100}]}
        large = client.post(f"{endpoint.url}/v1/models/ranker:predict", json=many)
        assert large.headers["content-encoding"] == "gzip"
        assert len(large.json()["predictions"][0]["item_ids"]) == 600
        for encoding, packed in (
            ("gzip", gzip.compress(json.dumps(body).encode())),
            ("deflate", zlib.compress(json.dumps(body).encode())),
        ):
            answer = client.post(url, content=packed, headers={"Content-Encoding": encoding})
            assert answer.status_code == 200
        bomb = gzip.compress(bytes(50_000_000))
        answer = client.post(url, content=bomb, headers={"Content-Encoding": "gzip"})
        assert (answer.status_code, answer.json()["error"][:5]) == (413, "body:")
        mixed = {
            **body,
            "outputs": [
                {"name": "version"},
                {"name": "score_click", "parameters": {"binary_data": True}},
            ],
        }
        answer = client.post(url, json=mixed)
        length = int(answer.headers[HEADER_LENGTH])
        version, scores = json.loads(answer.content[:length])["outputs"]
        assert version["data"] == [expected["version"]]
        assert scores["parameters"] == {"binary_data_size": 4 * len(items)}
        assert len(struct.unpack(f"<{len(items)}f", answer.content[length:])) == len(items)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v2/models/other", 404),
        ("GET", "/v2/models/other/ready", 404),
        ("GET", "/v1/models/other", 404),
        ("GET", "/v2/models/ranker/versions/v9", 404),
        ("GET", "/v2/models/ranker/versions/v9/ready", 404),
        ("POST", "/v2/models/ranker/versions/v9/infer", 404),
        ("POST", "/v2/models/ranker/versions/v1/infer", 404),
        ("POST", "/v2/models/ranker/infer/", 404),
        ("POST", "/v1/models/ranker:explain", 404),
        ("GET", "/v2/models/ranker/infer", 405),
        ("DELETE", "/v2/models/ranker", 405),
        ("PUT", "/v1/models/ranker:predict", 405),
        ("POST", "/v2/repository/models/ranker/load", 501),
        ("GET", "/v2/models/ranker/versions/v2/ready", 200),
        ("GET", "/v2/models/ranker/versions/v2", 200),
    ],
)
def test_what_is_not_there_is_said_in_one_form_and_not_logged(
    endpoint: Endpoint, method: str, path: str, status: int
) -> None:
    before = endpoint.log.read_text()
    data = b"{}" if method in ("POST", "PUT") else None
    request = urllib.request.Request(f"{endpoint.url}{path}", data=data, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            found, body = answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        found, body = error.code, json.loads(error.read())
    assert found == status
    if status != 200:
        assert body.keys() == {"error"}
        assert body["error"].split(":")[0] in ("path", "method", "model", "version")
    assert len(endpoint.log.read_text().splitlines()) - len(before.splitlines()) <= 1


def test_our_own_binary_format_goes_both_ways(
    endpoint: Endpoint, known: tuple[int, list[int]], expected: dict[str, Any]
) -> None:
    user, items = known
    tensors = {"user_id": np.array([user]), "item_ids": np.array(items)}
    tensors["timestamp_ms"] = np.array([TIME_MS])
    body, length = pack(tensors, request_id="mine", outputs=["ranked_item_ids"])
    request = urllib.request.Request(
        f"{endpoint.url}/v2/models/ranker/infer", data=body, headers={HEADER_LENGTH: str(length)}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        head, outputs = unpack(answer.read(), int(answer.headers[HEADER_LENGTH]), side="outputs")
    assert head["id"] == "mine"
    assert {name: v.tolist() for name, v in outputs.items()} == {
        "ranked_item_ids": expected["ranked_item_ids"]
    }
