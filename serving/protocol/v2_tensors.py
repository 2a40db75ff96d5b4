"""Tensors of KServe's V2 protocol, however they came: as JSON, as binary data or by gRPC.

:class:`TensorRequest` and :class:`TensorResponse` are what the models of both roles take and give;
:mod:`hemix.serving.protocol.v2_http` and :mod:`hemix.serving.protocol.v2_grpc` read and write them. Every tensor is checked while
it is read: a known datatype, values of that type and no other, as many as its shape says.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hemix.errors import RequestError
from hemix.serving.messages.echo import is_unicode, short

NUMBERS: dict[str, np.dtype[Any]] = {
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
"""V2's numbers that are taken; besides them BYTES, which are UTF-8 texts."""

MAX_DIMENSIONS = 8
_RANGES: dict[str, tuple[int | float, int | float]] = {
    name: (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    if dtype.kind in "iu"
    else (float(np.finfo(dtype).min), float(np.finfo(dtype).max))
    for name, dtype in NUMBERS.items()
}
_NAMES = {dtype: name for name, dtype in NUMBERS.items()}

Tensors = dict[str, np.ndarray]
"""Name -> one-dimensional array of one of :data:`NUMBERS`' types, or of texts (object)."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """An output that a request asks for; ``binary``: as binary data, None when it does not say."""

    name: str
    binary: bool | None = None


@dataclass(frozen=True, kw_only=True)
class TensorRequest:
    """A checked V2 request.

    Args:
        request_id: empty when the request has none.
        tensors: its inputs.
        wanted: the outputs that it asks for; none asks for the usual ones.
        binary: answer as binary data (REST) or raw contents (gRPC) where ``wanted`` does not say.
        shapes: the inputs' shapes.
    """

    request_id: str
    tensors: Tensors
    wanted: tuple[Wanted, ...]
    binary: bool
    shapes: Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, kw_only=True)
class TensorResponse:
    """What a model answers: all its outputs, in order; ``request`` says which are to be sent."""

    request: TensorRequest
    request_id: str
    model_name: str
    model_version: str
    outputs: Tensors

    def sent(self) -> list[tuple[str, np.ndarray, bool]]:
        """Name, values, and whether as binary data, of what the request asked for."""
        binary = self.request.binary
        if not self.request.wanted:
            return [(name, values, binary) for name, values in self.outputs.items()]
        return [
            (w.name, self.outputs[w.name], binary if w.binary is None else w.binary)
            for w in self.request.wanted
            if w.name in self.outputs
        ]


def require_outputs(wanted: Sequence[Wanted], known: Iterable[str], usual: Iterable[str]) -> None:
    """Raise RequestError when an output is asked for that is none; ``usual`` are named as known."""
    known = frozenset(known)
    for number, output in enumerate(wanted):
        if output.name not in known:
            raise RequestError(
                f"outputs.{number}.name: {short(output.name)} is not an output;"
                f" known: {', '.join(usual)}."
            )


def datatype_of(values: np.ndarray) -> str:
    """V2's name of an array's type: texts are BYTES."""
    return "BYTES" if values.dtype == object else _NAMES[values.dtype]


def objects(texts: Sequence[str]) -> np.ndarray:
    """Texts as a one-dimensional object array."""
    array = np.empty(len(texts), dtype=object)
    array[:] = texts
    return array


def require_datatype(name: str, datatype: object) -> str:
    """Raise RequestError when a tensor's datatype is not one that is taken."""
    if datatype == "BYTES" or (isinstance(datatype, str) and datatype in NUMBERS):
        return str(datatype)
    known = ", ".join((*NUMBERS, "BYTES"))
    raise RequestError(f"{short(name)}: datatype {short(datatype)} is not one of {known}.")


def require_size(name: str, shape: Sequence[int], count: int) -> None:
    """Raise RequestError when a shape does not hold ``count`` values."""
    if len(shape) > MAX_DIMENSIONS:
        raise RequestError(f"{short(name)}: shape has {len(shape)} dimensions; give one.")
    if any(size < 0 for size in shape):
        raise RequestError(f"{short(name)}: shape {short(list(shape))} holds a negative size.")
    if math.prod(shape) != count:
        raise RequestError(
            f"{short(name)}: shape {short(list(shape))} does not hold {count} values."
        )


def array_of(name: str, datatype: str, values: Sequence[Any]) -> np.ndarray:
    """Values that are of ``datatype`` already, as Python spells them, as an array.

    Raises:
        RequestError: a value is not of the datatype, or not in its range; names it.
    """
    if datatype == "BYTES":
        for at, value in enumerate(values):
            if type(value) is not str or not is_unicode(value):
                raise _not(name, at, value, "a text, as BYTES are")
        return objects(values)
    dtype = NUMBERS[datatype]
    whole = dtype.kind in "iu"
    for at, value in enumerate(values):
        if type(value) is not int and (whole or type(value) is not float):
            raise _not(name, at, value, f"{'a whole ' if whole else 'a '}number, as {datatype} is")
    low, high = _RANGES[datatype]
    for at, value in enumerate(values):
        # NaN and the infinities are numbers of FP32 and FP64.
        if not low <= value <= high and (whole or (value == value and abs(value) != math.inf)):
            raise _not(name, at, value, f"in the range of {datatype}")
    return np.array(values, dtype=dtype)


def _not(name: str, at: int, value: object, what: str) -> RequestError:
    return RequestError(f"{short(name)}[{at}]: {short(value)} must be {what}.")
