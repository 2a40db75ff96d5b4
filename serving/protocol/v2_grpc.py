"""V2 requests and answers as gRPC messages.

Tensors come in the typed ``contents`` of each input, or all of them in ``raw_input_contents``; the
answer comes as the request did, so that a client that knows one of the two reads what it knows.
Needs kserve at import, for its protobuf messages.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

from hemix.bounds import MAX_TEXT
from hemix.errors import RequestError
from hemix.serving.messages.echo import short
from hemix.serving.protocol.v2_binary import bytes_of, read
from hemix.serving.protocol.v2_http import MAX_TENSORS
from hemix.serving.protocol.v2_tensors import (
    TensorRequest,
    TensorResponse,
    Tensors,
    Wanted,
    array_of,
    datatype_of,
    objects,
    require_datatype,
    require_size,
)

_FIELDS = {
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


def read_message(message: Any) -> TensorRequest:
    """The request of a ``ModelInferRequest``.

    Raises:
        RequestError: names the tensor, and what it must be.
    """
    inputs, raw = message.inputs, message.raw_input_contents
    if not 1 <= len(inputs) <= MAX_TENSORS:
        raise RequestError(f"inputs: {len(inputs)} tensors; give 1 to {MAX_TENSORS}.")
    if raw and len(raw) != len(inputs):
        raise RequestError(
            f"raw_input_contents: {len(raw)} for {len(inputs)} inputs; give one for each, or none."
        )
    if len(message.id) > MAX_TEXT:
        raise RequestError(
            f"id: {short(message.id)} must be a text of at most {MAX_TEXT} characters."
        )
    tensors: Tensors = {}
    shapes: dict[str, tuple[int, ...]] = {}
    for number, tensor in enumerate(inputs):
        name, shape = tensor.name, tuple(tensor.shape)
        if not name:
            raise RequestError(f"inputs.{number}.name: is missing.")
        if name in tensors:
            raise RequestError(f"{short(name)}: the tensor is given twice.")
        datatype = require_datatype(name, tensor.datatype)
        if raw:
            if tensor.HasField("contents"):
                raise RequestError(
                    f"{short(name)}: contents and raw_input_contents exclude each other."
                )
            values = read(name, datatype, raw[number])
        else:
            values = _typed(name, datatype, tensor.contents)
        require_size(name, shape, len(values))
        tensors[name], shapes[name] = values, shape
    return TensorRequest(
        request_id=message.id,
        tensors=tensors,
        wanted=_wanted(message.outputs),
        binary=bool(raw),
        shapes=shapes,
    )


def write_message(response: TensorResponse) -> Any:
    """A ``ModelInferResponse``."""
    raw = response.request.binary
    message = pb.ModelInferResponse(
        id=response.request_id,
        model_name=response.model_name,
        model_version=response.model_version,
    )
    for name, values, _ in response.sent():
        datatype = datatype_of(values)
        output = message.outputs.add(name=name, datatype=datatype, shape=[len(values)])
        if raw:
            message.raw_output_contents.append(bytes_of(values))
        else:
            data = values.tolist()
            content = [text.encode() for text in data] if datatype == "BYTES" else data
            output.contents.CopyFrom(pb.InferTensorContents(**{_FIELDS[datatype]: content}))
    return message


def _typed(name: str, datatype: str, contents: Any) -> np.ndarray:
    field = _FIELDS[datatype]
    for other, _ in contents.ListFields():
        if other.name != field:
            raise RequestError(
                f"{short(name)}: {other.name} hold no {datatype}; give them as {field}."
            )
    values = list(getattr(contents, field))
    if datatype != "BYTES":
        return array_of(name, datatype, values)
    texts = []
    for at, value in enumerate(values):
        try:
            texts.append(value.decode())
        except UnicodeDecodeError as error:
            raise RequestError(f"{short(name)}[{at}]: is not UTF-8 text.") from error
    return objects(texts)


def _wanted(outputs: Any) -> tuple[Wanted, ...]:
    found: dict[str, Wanted] = {}
    for number, output in enumerate(outputs):
        if output.name in found:
            raise RequestError(f"outputs.{number}.name: {short(output.name)} is given twice.")
        found[output.name] = Wanted(name=output.name)
    return tuple(found.values())
