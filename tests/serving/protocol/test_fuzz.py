"""A thousand spoilt requests by each protocol: answered or refused, never failed, and quietly."""

from __future__ import annotations

import http.client
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator

import grpc
import pytest

from hemix.serving.protocol.kserving import import_kserve
from hemix.serving.protocol.v2_binary import HEADER_LENGTH
from tests.serving.live import Endpoint, Workshop
from tests.serving.protocol.mutations import Mutations, Request

import_kserve()  # before anything imports its parts

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

COUNT, SEED = 1_000, 20_260
REFUSED = re.compile(r"^[^:]{1,120}: \S")
"""``field: what is wrong with it``."""


@pytest.fixture(scope="module")
def mutations(workshop: Workshop) -> Mutations:
    return Mutations(users=workshop.known()[0], items=workshop.known()[1])


@pytest.fixture
def quiet(endpoint: Endpoint) -> Iterator[None]:
    """Nothing of what is refused fills the log, and the endpoint answers as before."""
    before = len(endpoint.log.read_text())
    yield
    assert "Traceback" not in endpoint.log.read_text()[before:]
    assert endpoint.v1({"user_id": 7, "item_ids": [1]})[0] == 200


def outcomes(endpoint: Endpoint, requests: Iterable[Request]) -> Counter[int]:
    """Statuses of all requests; each refusal must have the one form."""
    host = endpoint.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=60)
    seen: Counter[int] = Counter()
    for request in requests:
        connection.request("POST", request.path, request.body, request.headers)
        answer = connection.getresponse()
        body = answer.read()
        seen[answer.status] += 1
        if answer.status != 200:
            refusal = json.loads(body)
            assert answer.status in (400, 404, 413), (answer.status, refusal, request)
            assert refusal.keys() == {"error"}
            assert REFUSED.match(refusal["error"]), (refusal, request)
        else:
            length = answer.headers.get(HEADER_LENGTH)
            assert json.loads(body[: int(length)] if length else body)
    connection.close()
    return seen


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("protocol", ["v1", "v2", "binary"])
def test_what_is_spoilt_is_answered_or_refused(
    endpoint: Endpoint, mutations: Mutations, protocol: str
) -> None:
    seen = outcomes(endpoint, getattr(mutations, protocol)(SEED, COUNT))
    assert seen[400] > COUNT / 4
    assert seen[200] > COUNT / 20, "some of what was done to them does no harm"


@pytest.mark.usefixtures("quiet")
def test_what_is_spoilt_in_grpc_is_answered_or_refused(
    endpoint: Endpoint, mutations: Mutations
) -> None:
    seen: Counter[str] = Counter()
    with grpc.insecure_channel(endpoint.grpc) as channel:
        infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
        for message in mutations.messages(SEED, COUNT):
            try:
                infer(message, timeout=60)
                seen["OK"] += 1
            except grpc.RpcError as error:
                code, details = error.code().name, error.details() or ""
                assert code in ("INVALID_ARGUMENT", "NOT_FOUND"), (code, details, message)
                assert REFUSED.match(details), (details, message)
                seen[code] += 1
    assert seen["INVALID_ARGUMENT"] > COUNT / 4
    assert seen["OK"] > COUNT / 20
