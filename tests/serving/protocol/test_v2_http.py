"""V2 bodies: what is good is read with its bits, what is not is refused with its place."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest

from hemix.errors import RequestError
from hemix.serving.protocol.v2_binary import HEADER_LENGTH, unpack
from hemix.serving.protocol.v2_http import parse_json, read_request, write_response
from hemix.serving.protocol.v2_tensors import (
    TensorRequest,
    TensorResponse,
    objects,
    require_outputs,
)


def tensor(name: str, datatype: str, data: Any, shape: Any = None, **more: Any) -> dict[str, Any]:
    shape = [len(data)] if shape is None else shape
    return {"name": name, "datatype": datatype, "shape": shape, "data": data, **more}


def binary(name: str, datatype: str, size: Any, shape: list[Any], **more: Any) -> dict[str, Any]:
    parameters = {"binary_data_size": size}
    return {"name": name, "datatype": datatype, "shape": shape, "parameters": parameters, **more}


def read(*inputs: Any, tail: bytes = b"", **members: Any) -> TensorRequest:
    head = json.dumps({"inputs": list(inputs), **members}).encode()
    return read_request(head + tail, str(len(head)) if tail else None)


GOOD = tensor("a", "INT64", [1, 2])


def test_json_and_binary_tensors_say_the_same() -> None:
    texts = "".join(chr(n) for n in (0x41, 0xE9, 0x1F600))
    values: dict[str, tuple[str, list[Any], bytes]] = {
        "i": ("INT64", [2**62 + 1, -(2**63)], struct.pack("<2q", 2**62 + 1, -(2**63))),
        "b": ("UINT8", [0, 255], b"\x00\xff"),
        "f": ("FP32", [0.5, 3], struct.pack("<2f", 0.5, 3.0)),
        "d": ("FP64", [0.1, -2], struct.pack("<2d", 0.1, -2.0)),
        "t": ("BYTES", [texts], struct.pack("<I", len(texts.encode())) + texts.encode()),
    }
    plain = read(*(tensor(n, kind, data) for n, (kind, data, _) in values.items()))
    mixed = [tensor("m", "INT64", [5])]
    packed = read(
        *(binary(n, kind, len(raw), [len(data)]) for n, (kind, data, raw) in values.items()),
        *mixed,
        tail=b"".join(raw for _, _, raw in values.values()),
    )
    for name, values_ in plain.tensors.items():
        assert values_.dtype == packed.tensors[name].dtype
        assert values_.tolist() == packed.tensors[name].tolist()
    assert packed.tensors["m"].tolist() == [5]


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ([1, 2, 3, 4], [4]),
        ([1, 2, 3, 4], [2, 2]),
        ([[1, 2], [3, 4]], [2, 2]),
        ([[[1], [2]]], [1, 2, 1]),
    ],
)
def test_data_are_flat_or_nested_as_the_shape_says(data: Any, shape: list[int]) -> None:
    request = read(tensor("a", "INT64", data, shape))
    assert request.tensors["a"].tolist() == [1, 2, 3, 4][: int(np.prod(shape))]
    assert request.shapes["a"] == tuple(shape)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ([], "inputs: give a list"),
        ([5], r"inputs\.0: give an object"),
        ([GOOD, {**GOOD, "name": None}], r"inputs\.1\.name: None must be a text"),
        ([{**GOOD, "name": "x\udc00"}], r"inputs\.0\.name: x\? must be a text"),
        ([{**GOOD, "colour": 1}], r"inputs\.0\.colour: no such field"),
        ([GOOD, GOOD], "a: the tensor is given twice"),
        ([tensor("a", "INT32", [2**31])], r"a\[0\]: 2147483648 must be in the range of INT32"),
        ([tensor("a", "UINT64", [-1])], r"a\[0\]: -1 must be in the range"),
        ([tensor("a", "INT64", [1, 2.0])], r"a\[1\]: 2\.0 must be a whole number"),
        ([tensor("a", "INT64", [1, True])], r"a\[1\]: True must be a whole number"),
        ([tensor("a", "FP64", [1, "2"])], r"a\[1\]: 2 must be a number"),
        ([tensor("a", "FP32", [10**39])], r"a\[0\]: 1e\+39 must be in the range of FP32"),
        ([tensor("a", "BYTES", [7])], r"a\[0\]: 7 must be a text"),
        ([tensor("a", "BYTES", ["\udfff"])], r"a\[0\]: \? must be a text"),
        ([tensor("a", "BF16", [1])], "a: datatype BF16 is not one of"),
        ([tensor("a", "\ud800", [1])], r"a: datatype \? is not one of"),
        ([tensor("a", "INT64", [1], [-1])], r"a: shape \[-1\] holds a negative size"),
        ([tensor("a", "INT64", [1], [2**32, 2**32])], r"a: shape .* does not hold 1 values"),
        ([tensor("a", "INT64", [1], [2**62, 4, 0])], r"a: shape .* does not hold 1 values"),
        ([tensor("a", "INT64", [1], [1] * 64)], "a: shape has 64 dimensions"),
        ([tensor("a", "INT64", [1], [1.0])], r"inputs\.0\.shape: \[1\.0\] must be a list of whole"),
        ([tensor("a", "INT64", [1], [True])], r"inputs\.0\.shape"),
        ([tensor("a", "INT64", [[1], [2, 3]], [2, 2])], r"inputs\.0\.data: is not nested as shape"),
        ([tensor("a", "INT64", [[1, 2], 3], [2, 2])], r"inputs\.0\.data: is not nested as shape"),
        ([tensor("a", "INT64", "1", [1])], r"inputs\.0\.data: 1 must be a list"),
        ([{**GOOD, "data": None}], r"inputs\.0\.data: is missing"),
        ([{**GOOD, "parameters": 3}], r"inputs\.0\.parameters: 3 must be an object"),
        ([{**GOOD, "parameters": {"x": []}}], r"inputs\.0\.parameters\.x: \[\] must be one value"),
        ([{**binary("a", "INT64", 0, [0]), "data": []}], r"inputs\.0\.data: stands beside"),
    ],
)
def test_what_a_tensor_lacks_is_named(inputs: list[Any], message: str) -> None:
    with pytest.raises(RequestError, match=f"^{message}"):
        read(*inputs)


@pytest.mark.parametrize(
    ("inputs", "tail", "message"),
    [
        ([binary("a", "INT64", 8, [2])], bytes(8), r"a: shape \[2\] does not hold 1 values"),
        ([binary("a", "INT64", 9, [1])], bytes(9), "a: 9 bytes are no whole number of INT64"),
        ([binary("a", "INT64", 8, [1])], bytes(12), "body: holds 4 bytes that no tensor names"),
        ([binary("a", "INT64", 16, [2])], bytes(8), "a: binary_data_size 16 is not what the body"),
        ([binary("a", "INT64", -8, [1])], bytes(8), "a: binary_data_size -8"),
        ([binary("a", "INT64", True, [1])], bytes(8), "a: binary_data_size True"),
        ([binary("a", "BYTES", 8, [1])], struct.pack("<II", 2**32 - 1, 0), "a: a text ends behind"),
        ([binary("a", "BYTES", 3, [1])], b"abc", "a: its bytes are not UTF-8 texts"),
        ([binary("a", "BYTES", 5, [1])], struct.pack("<I", 1) + b"\xff", "a: its bytes are not"),
    ],
)
def test_bytes_that_lie_are_named(inputs: list[Any], tail: bytes, message: str) -> None:
    with pytest.raises(RequestError, match=f"^{message}"):
        read(*inputs, tail=tail)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"id": 5}, "id: 5 must be a text"),
        ({"id": "x" * 600}, "id: x+... must be a text"),
        ({"id": "\ud800"}, r"id: \? must be"),
        ({"parameters": []}, r"parameters: \[\] must be an object"),
        (
            {"parameters": {"binary_data_output": 1}},
            r"parameters\.binary_data_output: 1 must be true",
        ),
        ({"outputs": 5}, "outputs: give a list"),
        ({"outputs": [5]}, r"outputs\.0: give an object"),
        ({"outputs": [{"name": ""}]}, r"outputs\.0\.name: '' must be a text"),
        ({"outputs": [{"name": "x"}, {"name": "x"}]}, r"outputs\.1\.name: x is given twice"),
        (
            {"outputs": [{"name": "x", "parameters": {"binary_data": "no"}}]},
            r"outputs\.0\.parameters\.binary_data: no must be true or false",
        ),
        ({"raw": 1}, "raw: no such field"),
    ],
)
def test_what_a_request_lacks_is_named(members: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=f"^{message}"):
        read(GOOD, **members)


@pytest.mark.parametrize("length", ["", "-1", "+5", " 5", "1e3", "0x10", "٣", "9" * 40, "1000"])
def test_a_header_length_that_is_none_is_named(length: str) -> None:
    with pytest.raises(RequestError, match=f"^{HEADER_LENGTH}: "):
        read_request(json.dumps({"inputs": [GOOD]}).encode(), length)


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"\xff", b"[1]", b'"x"', b"null", b"[" * 90_000, '{"inputs":'.encode("utf-16")],
)
def test_what_is_no_object_is_a_body_that_is_none(body: bytes) -> None:
    with pytest.raises(RequestError, match=r"^body: "):
        read_request(body, None)


def test_only_what_is_asked_for_is_answered_and_as_it_is_asked_for() -> None:
    request = read(
        GOOD,
        parameters={"binary_data_output": True},
        outputs=[{"name": "t"}, {"name": "s", "parameters": {"binary_data": False}}],
    )
    require_outputs(request.wanted, ["s", "t", "u"], ["s", "t"])
    with pytest.raises(RequestError, match=r"^outputs\.0\.name: t is not an output; known: s"):
        require_outputs(request.wanted, ["s"], ["s"])
    answer = TensorResponse(
        request=request,
        request_id="r",
        model_name="m",
        model_version="1",
        outputs={"s": np.float32([0.5]), "t": objects(["é"]), "u": np.array([1])},
    )
    body, length = write_response(answer)
    assert length is not None
    head = json.loads(body[:length])
    assert (head["id"], head["model_name"], head["model_version"]) == ("r", "m", "1")
    first, second = head["outputs"]
    assert first == {
        "name": "t",
        "shape": [1],
        "datatype": "BYTES",
        "parameters": {"binary_data_size": 6},
    }
    assert second == {"name": "s", "shape": [1], "datatype": "FP32", "data": [0.5]}
    assert body[length:] == struct.pack("<I", 2) + "é".encode()


def test_without_outputs_all_come() -> None:
    outputs = {"s": np.float32([0.5]), "f": objects([])}
    for asked, expected in ((False, None), (True, outputs)):
        request = read(GOOD, parameters={"binary_data_output": asked})
        body, length = write_response(
            TensorResponse(
                request=request, request_id="r", model_name="m", model_version="1", outputs=outputs
            )
        )
        if expected is None:
            assert length is None
            assert [o["data"] for o in json.loads(body)["outputs"]] == [[0.5], []]
        else:
            assert length is not None
            _, found = unpack(body, length, side="outputs")
            assert {n: v.tolist() for n, v in found.items()} == {"s": [0.5], "f": []}


@pytest.mark.parametrize(
    ("body", "key"),
    [
        (b'{"instances": [{"item_ids": [4], "item_ids": [5], "user_id": 1}]}', "item_ids"),
        (b'{"instances": [{"user_id": 1, "us\\u0065r_id": 1}]}', "user_id"),
        (b'{"instances":[],"instances":[]}', "instances"),
        (b'{"instances": [7, {"context": {"tab" : 1, "tab" : null}}]}', "tab"),
        (b'{"inputs": [], "id": "a:b", "id": ""}', "id"),
        (b'{"": 0, "": NaN}', "''"),
    ],
)
def test_a_key_that_stands_twice_is_named(body: bytes, key: str) -> None:
    with pytest.raises(RequestError, match=f"the key {key} is given twice"):
        parse_json(body)


@pytest.mark.parametrize(
    "value",
    [
        {"instances": [{"user_id": "a:b", "item_ids": ["http://x:80", "{:}"], "context": {}}]},
        {"a": {"a": [{"a": 1}, {"a": 2}]}, "b": [3, {"a": 4}]},
        [[[[]]]],
    ],
)
def test_the_same_key_in_several_objects_is_fine(value: Any) -> None:
    assert parse_json(json.dumps(value).encode()) == value


def test_a_deep_or_wide_body_is_looked_through() -> None:
    deep = b'{"a":' * 900 + b"1" + b"}" * 900
    assert parse_json(deep)
    wide = ",".join(f'"{n}": {n}' for n in range(50_000))
    with pytest.raises(RequestError, match="the key 49999 is given twice"):
        parse_json(f'{{{wide}, "49999": ":"}}'.encode())
