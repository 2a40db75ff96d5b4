"""Ranking requests and answers as the named tensors of KServe's V2 protocol (REST and gRPC).

In: ``user_id`` [1] and ``item_ids`` [N] as INT64 or BYTES, optional ``context_<name>`` [1] and
``timestamp_ms`` [1]; the request's id is ``id``. Out: ``item_ids``, ``ranked_item_ids`` [N],
``score_<task>`` [N] FP32, ``user_id``, ``version``, ``variant`` [1], ``flags`` [F],
``unknown_items`` [U].
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hemix.errors import RequestError
from serving.answer import RankingAnswer

if TYPE_CHECKING:
    from kserve import InferInput, InferOutput, InferRequest, InferResponse

CONTEXT = "context_"
SCORE = "score_"
_WHOLE = {"INT8", "INT16", "INT32", "INT64", "UINT8", "UINT16", "UINT32", "UINT64"}
_TYPES = _WHOLE | {"FP32", "FP64", "BYTES"}


def instance_of(request: InferRequest) -> dict[str, Any]:
    """The V1 instance that a V2 request says; types and ranges are the contract's to check.

    Raises:
        RequestError: a tensor that is unknown, stands twice, or whose data does not fit its shape.
    """
    instance: dict[str, Any] = {"request_id": request.id or None}
    context: dict[str, Any] = {}
    seen: set[str] = set()
    for tensor in request.inputs:
        name = tensor.name
        if name in seen:
            raise RequestError(f"{name}: the tensor stands twice.")
        seen.add(name)
        if name == "item_ids":
            instance[name] = _values(tensor)
        elif name in ("user_id", "timestamp_ms"):
            instance[name] = _one(tensor)
        elif name.startswith(CONTEXT):
            context[name.removeprefix(CONTEXT)] = _one(tensor)
        else:
            raise RequestError(
                f"{name[:40]}: no such tensor; known: user_id, item_ids, timestamp_ms, context_<name>."
            )
    if context:
        instance["context"] = context
    return instance


def response_of(answer: RankingAnswer, model_name: str) -> InferResponse:
    """The answer as a V2 response."""
    from kserve import InferResponse

    outputs = [
        _ids("user_id", [answer.user_id]),
        _ids("item_ids", answer.item_ids),
        _ids("ranked_item_ids", answer.ranked_item_ids),
        *(
            _tensor(f"{SCORE}{task}", "FP32", scores.tolist())
            for task, scores in answer.scores.items()
        ),
        _texts("version", [answer.version]),
        _texts("variant", [answer.variant]),
        _texts("flags", answer.flags),
        _ids("unknown_items", answer.unknown_items, like=answer.item_ids),
    ]
    return InferResponse(
        response_id=answer.request_id,
        model_name=model_name,
        model_version=answer.version,
        infer_outputs=outputs,
    )


def _one(tensor: InferInput) -> Any:
    values = _values(tensor)
    if len(values) != 1:
        raise RequestError(f"{tensor.name}: {len(values)} values; give exactly one.")
    return values[0]


def _values(tensor: InferInput) -> list[Any]:
    if tensor.datatype not in _TYPES:
        raise RequestError(
            f"{tensor.name}: datatype {tensor.datatype[:20]} is not one of {', '.join(sorted(_TYPES))}."
        )
    shape = tuple(tensor.shape)
    if any(size < 0 for size in shape):
        raise RequestError(f"{tensor.name}: shape {list(shape)} holds a negative size.")
    values = _raw(tensor) if tensor._raw_data is not None else _flat(tensor)
    if math.prod(shape) != len(values):
        raise RequestError(
            f"{tensor.name}: shape {list(shape)} does not hold {len(values)} values."
        )
    return [_decoded(tensor.name, value) for value in values]


def _raw(tensor: InferInput) -> list[Any]:
    try:
        return list(tensor.as_numpy().ravel().tolist())
    except (ValueError, struct.error) as error:
        raise RequestError(
            f"{tensor.name}: its bytes are not {tensor.datatype} of shape {list(tensor.shape)}."
        ) from error


def _flat(tensor: InferInput) -> list[Any]:
    """V2's JSON data may be flat or nested as the shape says."""
    values = list(tensor.data or ())
    for _ in range(max(len(tensor.shape) - 1, 0)):
        if not any(isinstance(value, list) for value in values):
            break
        values = [v for value in values for v in (value if isinstance(value, list) else [value])]
    return values


def _decoded(name: str, value: Any) -> Any:
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise RequestError(f"{name}: its bytes are not UTF-8 text.") from error


def _ids(
    name: str, values: Sequence[int | str], like: Sequence[int | str] | None = None
) -> InferOutput:
    sample = (like or values)[0]
    if isinstance(sample, int):
        return _tensor(name, "INT64", list(values))
    return _texts(name, [str(value) for value in values])


def _texts(name: str, values: Sequence[str]) -> InferOutput:
    return _tensor(name, "BYTES", list(values))


def _tensor(name: str, datatype: str, values: list[Any]) -> InferOutput:
    from kserve import InferOutput

    return InferOutput(name=name, shape=[len(values)], datatype=datatype, data=values)
