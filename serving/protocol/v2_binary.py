"""KServe V2's binary tensors: a JSON header, and then every tensor's bytes in turn.

Little endian; the HTTP header ``Inference-Header-Content-Length`` says where the JSON ends. A text is
its length in 4 bytes and its UTF-8 bytes. Numbers arrive with the bits that they were sent with.
Source: Triton's "Binary Tensor Data Extension", which KServe follows.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import orjson

from hemix.errors import RequestError
from hemix.serving.messages.echo import short
from hemix.serving.protocol.v2_tensors import (
    NUMBERS,
    Tensors,
    datatype_of,
    objects,
    require_datatype,
)

HEADER_LENGTH = "Inference-Header-Content-Length"
_LENGTH = struct.Struct("<I")


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
        request_id: ``id`` of the body.
        side: ``inputs`` of a request, which then asks for a binary answer; ``outputs`` of an answer.
        outputs: names of the outputs that a request asks for; none asks for the usual ones.
        more: other members of the JSON.
    """
    parts = [bytes_of(values) for values in tensors.values()]
    members = [
        described(name, values, len(data))
        for (name, values), data in zip(tensors.items(), parts, strict=True)
    ]
    head: dict[str, Any] = {"id": request_id, **more, side: members}
    if side == "inputs":
        head["parameters"] = {"binary_data_output": True}
        if wanted := [{"name": name} for name in outputs]:
            head["outputs"] = wanted
    text = orjson.dumps(head)
    return b"".join((text, *parts)), len(text)


def described(name: str, values: np.ndarray, size: int) -> dict[str, Any]:
    """The JSON of a tensor of ``size`` bytes that stand behind the JSON."""
    return {
        "name": name,
        "shape": [len(values)],
        "datatype": datatype_of(values),
        "parameters": {"binary_data_size": size},
    }


def unpack(
    body: bytes, json_length: int, *, side: str = "inputs"
) -> tuple[dict[str, Any], Tensors]:
    """The JSON of a body that :func:`pack` made, and its tensors by name; arrays may be read only.

    Raises:
        RequestError: the body is not what its header says; names the tensor.
    """
    try:
        head = orjson.loads(body[:json_length])
        members = [
            (
                str(tensor["name"]),
                require_datatype(tensor["name"], tensor["datatype"]),
                list(tensor["shape"]),
                tensor["parameters"]["binary_data_size"],
            )
            for tensor in head[side]
        ]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise RequestError(f"body: is not V2's binary tensors ({error!r}).") from error
    tensors: Tensors = {}
    at = json_length
    view = memoryview(body)
    for name, datatype, shape, size in members:
        if name in tensors:
            raise RequestError(f"{short(name)}: the tensor is given twice.")
        tensors[name], at = cut(name, datatype, view, at, size)
        if shape != [len(tensors[name])]:
            raise RequestError(
                f"{short(name)}: shape {short(shape)} does not hold {len(tensors[name])} values;"
                " give one dimension."
            )
    require_end(at, body)
    return head, tensors


def cut(
    name: str, datatype: str, body: memoryview, at: int, size: object
) -> tuple[np.ndarray, int]:
    """The array of the ``size`` bytes from ``at``, and where they end.

    Args:
        name: of the tensor, for the message.
        datatype: V2's name of the type.
        body: the binary part.
        at: first byte.
        size: number of bytes, as the request says it.

    Raises:
        RequestError: the body does not hold them, or they are not whole values.
    """
    if type(size) is not int or size < 0 or at + size > len(body):
        raise RequestError(
            f"{short(name)}: binary_data_size {short(size)} is not what the body holds."
        )
    return read(name, datatype, body[at : at + size]), at + size


def require_end(at: int, body: bytes) -> None:
    """Raise RequestError when bytes are left over."""
    if at != len(body):
        raise RequestError(f"body: holds {len(body) - at} bytes that no tensor names.")


def read(name: str, datatype: str, data: memoryview | bytes) -> np.ndarray:
    """The one-dimensional array of a tensor's bytes.

    Raises:
        RequestError: the bytes are not whole values.
    """
    if datatype == "BYTES":
        return _texts(name, bytes(data))
    dtype = NUMBERS[datatype]
    if len(data) % dtype.itemsize:
        raise RequestError(
            f"{short(name)}: {len(data)} bytes are no whole number of {datatype} values."
        )
    values = np.frombuffer(data, dtype)
    return values if values.flags.aligned else values.copy()


def bytes_of(values: np.ndarray) -> bytes:
    """What :func:`read` reads back."""
    if values.dtype != object:
        return values.tobytes()
    parts: list[bytes] = []
    for text in values:
        data = text.encode()
        parts += (_LENGTH.pack(len(data)), data)
    return b"".join(parts)


def _texts(name: str, raw: bytes) -> np.ndarray:
    texts: list[str] = []
    at, end = 0, len(raw)
    try:
        while at < end:
            (size,) = _LENGTH.unpack_from(raw, at)
            at += _LENGTH.size
            if at + size > end:
                raise RequestError(f"{short(name)}: a text ends behind the tensor.")
            texts.append(raw[at : at + size].decode())
            at += size
    except (struct.error, UnicodeDecodeError) as error:
        raise RequestError(f"{short(name)}: its bytes are not UTF-8 texts with lengths.") from error
    return objects(texts)
