"""KServe V2's binary tensors: what the transformer sends a predictor, and gets back.

A body is a JSON header (names, shapes, datatypes) and then every tensor's bytes in turn, little
endian; the HTTP header ``Inference-Header-Content-Length`` says where the JSON ends. A text is its
length in 4 bytes and its UTF-8 bytes. Numbers arrive with the bits that they were sent with.
Source: Triton's "Binary Tensor Data Extension", which KServe follows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from hemix.errors import RequestError

HEADER_LENGTH = "Inference-Header-Content-Length"
_NUMBERS: dict[str, np.dtype[Any]] = {
    "INT64": np.dtype("<i8"),
    "INT32": np.dtype("<i4"),
    "FP64": np.dtype("<f8"),
    "FP32": np.dtype("<f4"),
}
_NAMES = {dtype: name for name, dtype in _NUMBERS.items()}
_LENGTH = struct.Struct("<I")

Tensors = dict[str, np.ndarray]
"""Name -> one-dimensional array: int64, int32, float64, float32, or object (texts)."""


def pack(
    tensors: Mapping[str, np.ndarray],
    *,
    request_id: str,
    side: str = "inputs",
    outputs: Iterable[str] = (),
    **more: Any,
) -> tuple[bytes, int]:
    """A V2 body with binary tensors, and the length of its JSON.

    Args:
        tensors: one-dimensional arrays.
        side: ``inputs`` of a request, ``outputs`` of a response.
        outputs: names of the outputs that a request asks for; none asks for the usual ones.
        more: other members of the JSON.
    """
    parts, described = [], []
    for name, values in tensors.items():
        datatype, data = _bytes(values)
        parts.append(data)
        described.append(
            {
                "name": name,
                "shape": [len(values)],
                "datatype": datatype,
                "parameters": {"binary_data_size": len(data)},
            }
        )
    head: dict[str, Any] = {"id": request_id, **more, side: described}
    if side == "inputs":
        head["parameters"] = {"binary_data_output": True}
        if wanted := [{"name": name} for name in outputs]:
            head["outputs"] = wanted
    text = orjson.dumps(head)
    return b"".join((text, *parts)), len(text)


def unpack(
    body: bytes, json_length: int, *, side: str = "inputs"
) -> tuple[dict[str, Any], Tensors]:
    """The JSON of a V2 body and its tensors by name; arrays may be read only.

    Raises:
        RequestError: the body is not what its header says; names the tensor.
    """
    try:
        head = orjson.loads(body[:json_length])
        described = [
            (
                tensor["name"],
                tensor["datatype"],
                tuple(tensor["shape"]),
                tensor["parameters"]["binary_data_size"],
            )
            for tensor in head[side]
        ]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise RequestError(
            f"The body is not a V2 request of binary tensors ({error!r})."
        ) from error
    tensors: Tensors = {}
    at = json_length
    view = memoryview(body)
    for name, datatype, shape, size in described:
        if type(size) is not int or size < 0 or at + size > len(body):
            raise RequestError(f"{name}: binary_data_size {size} is not what the body holds.")
        if name in tensors:
            raise RequestError(f"{name}: the tensor stands twice.")
        values = array_of(name, datatype, view[at : at + size])
        if shape != (len(values),):
            raise RequestError(
                f"{name}: shape {list(shape)} does not hold {len(values)} values; give one dimension."
            )
        tensors[name] = values
        at += size
    if at != len(body):
        raise RequestError(f"The body holds {len(body) - at} bytes that no tensor names.")
    return head, tensors


def array_of(name: str, datatype: str, data: memoryview | bytes) -> np.ndarray:
    """The one-dimensional array of a tensor's bytes.

    Raises:
        RequestError: the datatype is not one of ours, or the bytes are not whole values.
    """
    if datatype == "BYTES":
        return _texts(name, data)
    dtype = _NUMBERS.get(datatype)
    if dtype is None:
        raise RequestError(f"{name}: datatype {str(datatype)[:20]} is not {_known()}.")
    if len(data) % dtype.itemsize:
        raise RequestError(f"{name}: {len(data)} bytes are no whole number of {datatype} values.")
    values = np.frombuffer(data, dtype)
    return values if values.flags.aligned else values.copy()


def datatype_of(values: np.ndarray) -> str:
    """V2's name of an array's type: texts are BYTES."""
    return "BYTES" if values.dtype == object else _NAMES[values.dtype]


def _bytes(values: np.ndarray) -> tuple[str, bytes]:
    if values.dtype != object:
        return _NAMES[values.dtype], values.tobytes()
    parts: list[bytes] = []
    for text in values:
        data = text.encode()
        parts += (_LENGTH.pack(len(data)), data)
    return "BYTES", b"".join(parts)


def _texts(name: str, data: memoryview | bytes) -> np.ndarray:
    raw = bytes(data)
    texts: list[str] = []
    at, end = 0, len(raw)
    try:
        while at < end:
            (size,) = _LENGTH.unpack_from(raw, at)
            at += _LENGTH.size
            if at + size > end:
                raise RequestError(f"{name}: a text ends behind the tensor.")
            texts.append(raw[at : at + size].decode())
            at += size
    except (struct.error, UnicodeDecodeError) as error:
        raise RequestError(f"{name}: its bytes are not UTF-8 texts with lengths.") from error
    return objects(texts)


def objects(texts: Sequence[str]) -> np.ndarray:
    """Texts as a one-dimensional object array."""
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


def _known() -> str:
    return ", ".join((*_NUMBERS, "BYTES"))
