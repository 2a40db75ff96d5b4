"""A small client of the endpoint: one request over KServe V1, V2 or gRPC, the same answer each time."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import httpx

from hemix.errors import EnvironmentProblem, RequestError
from hemix.features.schema import MISSING_INT, MISSING_STRING
from hemix.serving.protocol.kserving import import_kserve
from hemix.serving.protocol.ranking_tensors import CANDIDATE, CONTEXT, SCORE

Protocol = Literal["v1", "v2", "grpc"]
Id = int | str

_NO_ANSWER = "Start it with: hemix serve. Or say where it is: --url."


def rank(
    user_id: Id,
    item_ids: Sequence[Id],
    *,
    context: Mapping[str, Any] | None = None,
    candidates: Mapping[str, Sequence[Any]] | None = None,
    request_id: str | None = None,
    timestamp_ms: int | None = None,
    url: str = "http://127.0.0.1:8080",
    protocol: Protocol = "v1",
    timeout_s: float = 10.0,
) -> dict[str, Any]:
    """Ask the endpoint once; the answer is that of the V1 protocol, whichever carried it.

    Args:
        user_id: who asks.
        item_ids: the candidates, 1 to 1,000.
        context: what a request has one value of, by column.
        candidates: what each candidate has its own value of, by column, in the order of
            ``item_ids``; None where a candidate has none.
        request_id: kept in answer and exposure; None: the endpoint makes one.
        timestamp_ms: the request's time, epoch milliseconds; None: now.
        url: ``http://host:port``; for gRPC ``host:port``.
        protocol: how it is sent: ``v1``, ``v2`` or ``grpc``.
        timeout_s: seconds to wait for the answer.

    Raises:
        RequestError: the endpoint refused the request; says why.
        EnvironmentProblem: no one answered at ``url``.
    """
    instance: dict[str, Any] = {"user_id": user_id, "item_ids": list(item_ids)}
    if context:
        instance["context"] = dict(context)
    if candidates:
        instance["candidates"] = {name: list(values) for name, values in candidates.items()}
    if request_id is not None:
        instance["request_id"] = request_id
    if timestamp_ms is not None:
        instance["timestamp_ms"] = timestamp_ms
    if protocol == "v1":
        body = {"instances": [instance]}
        answer = _post(f"{url}/v1/models/ranker:predict", body, timeout_s)
        prediction: dict[str, Any] = answer["predictions"][0]
        return prediction
    if protocol == "v2":
        answer = _post(f"{url}/v2/models/ranker/infer", to_v2(instance), timeout_s)
        outputs = {output["name"]: output["data"] for output in answer["outputs"]}
        return from_outputs(answer["id"], outputs)
    return _grpc(instance, url.split("://", 1)[-1], timeout_s)


def push_events(
    events: Sequence[Mapping[str, Any]],
    *,
    url: str = "http://127.0.0.1:8080",
    timeout_s: float = 30.0,
    attempts: int = 5,
) -> dict[str, Any]:
    """Send live events; each counts once, however often it is sent, by its ``event_id``.

    An endpoint that is busy or does not answer is asked again, up to ``attempts`` times in all.

    Returns:
        ``results`` (``event_id``, ``status``: accepted, duplicate or refused, ``error``), the number
        of each status, and ``durable``.

    Raises:
        RequestError: the endpoint refused the batch as a whole; says why.
        EnvironmentProblem: no one answered at ``url``, or it takes no events now.
    """
    for attempt in range(1, attempts + 1):
        try:
            answer: dict[str, Any] = _post(f"{url}/v1/events", {"events": list(events)}, timeout_s)
        except EnvironmentProblem:
            if attempt == attempts:
                raise
            time.sleep(min(0.25 * 2**attempt, 4.0))
        else:
            return answer
    raise AssertionError("unreachable")


def to_v2(instance: Mapping[str, Any]) -> dict[str, Any]:
    """A V1 instance as the JSON body of a V2 request."""
    values = {
        "user_id": [instance["user_id"]],
        "item_ids": list(instance["item_ids"]),
        **({"timestamp_ms": [instance["timestamp_ms"]]} if "timestamp_ms" in instance else {}),
        **{f"{CONTEXT}{name}": [value] for name, value in instance.get("context", {}).items()},
        **{
            f"{CANDIDATE}{name}": _without_none(name, values)
            for name, values in instance.get("candidates", {}).items()
        },
    }
    body: dict[str, Any] = {
        "inputs": [
            {"name": name, "shape": [len(data)], "datatype": _datatype(data), "data": data}
            for name, data in values.items()
        ]
    }
    if "request_id" in instance:
        body["id"] = instance["request_id"]
    return body


def from_outputs(request_id: str, outputs: Mapping[str, list[Any]]) -> dict[str, Any]:
    """V2 outputs by name as a V1 prediction."""
    return {
        "request_id": request_id,
        "user_id": outputs["user_id"][0],
        "version": outputs["version"][0],
        "variant": outputs["variant"][0],
        "item_ids": outputs["item_ids"],
        "scores": {
            name.removeprefix(SCORE): data
            for name, data in outputs.items()
            if name.startswith(SCORE)
        },
        "ranked_item_ids": outputs["ranked_item_ids"],
        "flags": outputs["flags"],
        "unknown_items": outputs["unknown_items"],
    }


def _without_none(name: str, values: Sequence[Any]) -> list[Any]:
    """As a tensor spells a missing value: the one of the type that the others have."""
    known = [value for value in values if value is not None]
    if len({isinstance(value, str) for value in known}) > 1:
        raise RequestError(f"candidates.{name}: texts and numbers in one list.")
    if known and all(isinstance(value, str) for value in known):
        missing: Any = MISSING_STRING
    elif known and all(isinstance(value, int) for value in known):
        missing = MISSING_INT
    else:
        missing = math.nan
    return [missing if value is None else value for value in values]


def _datatype(data: Sequence[Any]) -> str:
    if data and all(isinstance(value, int) for value in data):
        return "INT64"
    return "FP64" if data and all(isinstance(v, int | float) for v in data) else "BYTES"


def _post(url: str, body: Mapping[str, Any], timeout_s: float) -> Any:
    try:
        # Not httpx's own JSON: tensors hold NaN where a value is missing.
        answer = httpx.post(
            url,
            content=json.dumps(body),
            headers={"Content-Type": "application/json"},
            timeout=timeout_s,
        )
    except httpx.TransportError as error:
        raise EnvironmentProblem(
            f"No answer from {url} ({error or type(error).__name__}).", hint=_NO_ANSWER
        ) from error
    if not answer.is_success:
        told = f"{url} answered {answer.status_code}: {_reason(answer.text)}"
        if answer.status_code in (503, 504, 507) and url.endswith("/v1/events"):
            raise EnvironmentProblem(told)
        raise RequestError(told)
    return answer.json()


def _reason(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text[:200]


def _grpc(instance: Mapping[str, Any], address: str, timeout_s: float) -> dict[str, Any]:
    import_kserve()
    import grpc
    from kserve import InferInput, InferRequest, InferResponse
    from kserve.protocol.grpc.grpc_predict_v2_pb2_grpc import GRPCInferenceServiceStub

    body = to_v2(instance)
    request = InferRequest(
        model_name="ranker",
        request_id=body.get("id", ""),
        infer_inputs=[
            InferInput(name=i["name"], shape=i["shape"], datatype=i["datatype"], data=i["data"])
            for i in body["inputs"]
        ],
    )
    with grpc.insecure_channel(address) as channel:
        try:
            answer = GRPCInferenceServiceStub(channel).ModelInfer(
                request.to_grpc(), timeout=timeout_s
            )
        except grpc.RpcError as error:
            code, details = error.code(), error.details()
            if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise EnvironmentProblem(
                    f"No answer from {address} ({details}).", hint=_NO_ANSWER
                ) from error
            raise RequestError(f"{address} answered {code.name}: {details}") from error
    response = InferResponse.from_grpc(answer)
    outputs = {output.name: [_text(v) for v in output.data] for output in response.outputs}
    return from_outputs(response.id, outputs)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
