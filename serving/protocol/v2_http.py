"""V2 requests and answers as bodies of HTTP: JSON, and binary tensors behind it.

kserve's own decoding (``InferRequest.from_bytes`` and pydantic's) is not used: it raises a dozen kinds
of errors on what clients send, names no field, and reads past what a tensor says of itself.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from hemix.bounds import MAX_TEXT
from hemix.errors import RequestError
from hemix.serving.messages.echo import is_unicode, short
from hemix.serving.protocol.v2_binary import HEADER_LENGTH, bytes_of, cut, described, require_end
from hemix.serving.protocol.v2_tensors import (
    MAX_DIMENSIONS,
    TensorRequest,
    TensorResponse,
    Tensors,
    Wanted,
    array_of,
    datatype_of,
    require_datatype,
    require_size,
)

MAX_TENSORS = 2_000
_REQUEST = ("id", "model_name", "model_version", "parameters", "inputs", "outputs")
_INPUT = ("name", "shape", "datatype", "parameters", "data")
_OUTPUT = ("name", "parameters")


def parse_json(body: bytes) -> Any:
    """The JSON of a body.

    NaN, Infinity and halves of surrogate pairs are let through, for the field's own check to refuse
    by name.

    Raises:
        RequestError: it is not JSON in UTF-8, nested too deeply, or an object holds a key twice.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        try:
            return json.loads(body.decode(), object_pairs_hook=_object)
        except (ValueError, RecursionError):
            raise RequestError(f"body: is not JSON ({error}).") from error
    # As many colons as keys: none is given twice, and most bodies need no second reading.
    if body.count(b":") != _keys(value):
        with contextlib.suppress(ValueError, RecursionError):  # what orjson has read is JSON
            _READER.decode(body.decode())
    return value


def _keys(value: Any) -> int:
    """Keys of all objects, but for those in lists that begin with a plain value."""
    keys, waiting = 0, [value]
    while waiting:
        found = waiting.pop()
        if isinstance(found, dict):
            keys += len(found)
            waiting += found.values()
        elif isinstance(found, list) and found and isinstance(found[0], dict | list):
            waiting += found
    return keys


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise RequestError(
                f"body: the key {short(name)} is given twice in one object; give it once."
            )
        found[name] = value
    return found


# Of its numbers only the text is asked for.
_READER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=str, parse_float=str, parse_constant=str
)


def read_request(body: bytes, header_length: str | None) -> TensorRequest:
    """The request of a body.

    Args:
        body: JSON, and the bytes of its binary tensors.
        header_length: ``Inference-Header-Content-Length``, how long the JSON is; None: all of it.

    Raises:
        RequestError: names the field, or the tensor and the value, and what it must be.
    """
    end = len(body) if header_length is None else _length(header_length, len(body))
    head = parse_json(body if end == len(body) else body[:end])
    if not isinstance(head, dict):
        raise RequestError('body: must be a JSON object {"inputs": [...]}.')
    _only(head, _REQUEST, "")
    inputs = head.get("inputs")
    if not isinstance(inputs, list) or not 1 <= len(inputs) <= MAX_TENSORS:
        raise RequestError(f"inputs: give a list of 1 to {MAX_TENSORS} tensors.")
    tensors: Tensors = {}
    shapes: dict[str, tuple[int, ...]] = {}
    view, at = memoryview(body), end
    for number, tensor in enumerate(inputs):
        where = f"inputs.{number}"
        name, shape, datatype, parameters = _described(tensor, where)
        if name in tensors:
            raise RequestError(f"{short(name)}: the tensor is given twice.")
        size = parameters.get("binary_data_size")
        data = tensor.get("data")
        if (data is None) == (size is None):
            both = "stands beside binary_data_size" if data is not None else "is missing"
            raise RequestError(f"{where}.data: {both}.")
        if size is not None:
            values, at = cut(name, datatype, view, at, size)
            require_size(name, shape, len(values))
        else:
            values = array_of(name, datatype, _flat(name, data, shape, where))
        tensors[name], shapes[name] = values, shape
    require_end(at, body)
    parameters = _parameters(head.get("parameters"), "parameters")
    return TensorRequest(
        request_id=_request_id(head.get("id")),
        tensors=tensors,
        wanted=_wanted(head.get("outputs")),
        binary=_flag(parameters, "binary_data_output", "parameters") or False,
        shapes=shapes,
    )


def write_response(response: TensorResponse) -> tuple[bytes, int | None]:
    """The body of an answer; and how long its JSON is, None when that is all of it."""
    outputs: list[dict[str, Any]] = []
    parts: list[bytes] = []
    for name, values, binary in response.sent():
        if binary:
            data = bytes_of(values)
            parts.append(data)
            outputs.append(described(name, values, len(data)))
        else:
            datatype, shape = datatype_of(values), [len(values)]
            outputs.append(
                {"name": name, "shape": shape, "datatype": datatype, "data": values.tolist()}
            )
    head = orjson.dumps(
        {
            "model_name": response.model_name,
            "model_version": response.model_version,
            "id": response.request_id,
            "outputs": outputs,
        }
    )
    if not any(binary for _, _, binary in response.sent()):
        return head, None
    return b"".join((head, *parts)), len(head)


def _length(text: str, whole: int) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise RequestError(f"{HEADER_LENGTH}: {short(text)} is not a number of bytes.")
    if int(text) > whole:
        raise RequestError(f"{HEADER_LENGTH}: {text} bytes are more than the body's {whole}.")
    return int(text)


def _described(tensor: object, where: str) -> tuple[str, tuple[int, ...], str, Mapping[str, Any]]:
    """Name, shape, datatype and parameters of an input."""
    if not isinstance(tensor, dict):
        raise RequestError(f"{where}: give an object with name, shape, datatype and data.")
    _only(tensor, _INPUT, f"{where}.")
    name = _name(tensor, where)
    shape = tensor.get("shape")
    if not isinstance(shape, list) or any(type(size) is not int for size in shape):
        raise RequestError(f"{where}.shape: {short(shape)} must be a list of whole numbers.")
    datatype = require_datatype(name, tensor.get("datatype"))
    return (
        name,
        tuple(shape),
        datatype,
        _parameters(tensor.get("parameters"), f"{where}.parameters"),
    )


def _name(of: Mapping[str, Any], where: str) -> str:
    name = of.get("name")
    if not isinstance(name, str) or not name or not is_unicode(name):
        raise RequestError(f"{where}.name: {short(name)} must be a text.")
    return name


def _parameters(value: object, where: str) -> Mapping[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise RequestError(f"{where}: {short(value)} must be an object of names and values.")
    for name, inner in value.items():
        if not isinstance(inner, str | int | float):
            raise RequestError(f"{where}.{short(name)}: {short(inner)} must be one value.")
    return value


def _flag(parameters: Mapping[str, Any], name: str, where: str) -> bool | None:
    value = parameters.get(name)
    if value is not None and not isinstance(value, bool):
        raise RequestError(f"{where}.{name}: {short(value)} must be true or false.")
    return value


def _wanted(outputs: object) -> tuple[Wanted, ...]:
    if outputs is None:
        return ()
    if not isinstance(outputs, list) or len(outputs) > MAX_TENSORS:
        raise RequestError(f"outputs: give a list of at most {MAX_TENSORS} outputs.")
    found: dict[str, Wanted] = {}
    for number, output in enumerate(outputs):
        where = f"outputs.{number}"
        if not isinstance(output, dict):
            raise RequestError(f"{where}: give an object with a name.")
        _only(output, _OUTPUT, f"{where}.")
        name = _name(output, where)
        if name in found:
            raise RequestError(f"{where}.name: {short(name)} is given twice.")
        parameters = _parameters(output.get("parameters"), f"{where}.parameters")
        binary = _flag(parameters, "binary_data", f"{where}.parameters")
        found[name] = Wanted(name=name, binary=binary)
    return tuple(found.values())


def _request_id(value: object) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > MAX_TEXT or not is_unicode(value):
        raise RequestError(f"id: {short(value)} must be a text of at most {MAX_TEXT} characters.")
    return value


def _flat(name: str, data: object, shape: Sequence[int], where: str) -> list[Any]:
    """V2's JSON data are flat, or nested as the shape says."""
    if not isinstance(data, list):
        raise RequestError(f"{where}.data: {short(data)} must be a list of values.")
    if len(shape) > 1 and len(shape) <= MAX_DIMENSIONS and any(isinstance(v, list) for v in data):
        for axis, size in enumerate(shape):
            if axis and not all(isinstance(v, list) and len(v) == size for v in data):
                raise RequestError(f"{where}.data: is not nested as shape {short(shape)} says.")
            if axis:
                data = [value for inner in data for value in inner]
            elif len(data) != size:
                raise RequestError(f"{where}.data: is not nested as shape {short(shape)} says.")
    require_size(name, shape, len(data))
    return data


def _only(given: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for name in given:
        if name not in known:
            raise RequestError(f"{where}{short(name)}: no such field; known: {', '.join(known)}.")
