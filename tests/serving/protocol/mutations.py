"""Requests that were good until something happened to them, the same ones for the same seed.

Structured changes of a valid request (a value of another kind, a member gone or added, a tensor that
lies about itself) and changes of its bytes.
"""

from __future__ import annotations

import copy
import gzip
import json
import random
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from hemix.serving.protocol.v2_binary import HEADER_LENGTH

TIME_MS = 1_651_400_000_000
DATATYPES = (
    *("INT8", "INT16", "INT32", "INT64", "UINT8", "UINT64", "FP16", "BF16", "FP32", "FP64"),
    *("BYTES", "BOOL", "int64", "", "INT128", "\udfff", 5, None, [], {}),
)
NAMES = (
    "user_id",
    "item_ids",
    "context_tab",
    "context_",
    "context_no",
    "timestamp_ms",
    "",
    "é" * 90,
)
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**53 + 1, 2**63 - 1, 2**63, -(2**63), 10**30, 10**400),
    *(0.0, -0.0, 1.5, 1e308, float("nan"), float("inf"), -float("inf"), 1_651_400_000),
    *("", " ", "7", "\x00", "\ud800", "\udfff\ud800", "é" * 300, "a" * 70_000, "\r\nx: y", "{0}%s"),
    *([], {}, [[]], [{}], {"a": 1}, [1], ["1"], [None], [1] * 1001, {"": 0}, {"inputs": []}),
)
DEEP = (*("[" * n + "]" * n for n in (50, 600, 1_100, 60_000)), '{"a":' * 5_000 + "1" + "}" * 5_000)
SHAPES: tuple[Any, ...] = (
    *([-1], [0], [], [2**62, 4], [2**31, 2**31], [10**30], [1.5], ["1"], [None], [True], None, "x"),
    *({}, [1] * 64, [[1]], [-(2**63)], [1, 1], [2**63]),
)


@dataclass(frozen=True, kw_only=True)
class Request:
    """A body and how it is sent."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Mutations:
    """Bad and odd requests about ``users`` and ``items``, whose context has a number ``tab``."""

    users: list[int]
    items: list[int]
    model: str = "ranker"

    def v1(self, seed: int, count: int) -> Iterator[Request]:
        """V1 bodies."""
        for number in range(count):
            chance = random.Random(f"v1 {seed} {number}")
            instance: dict[str, Any] = {
                "user_id": self._user(chance),
                "item_ids": self._items(chance),
            }
            if chance.random() < 0.6:
                instance["context"] = {"tab": chance.randrange(5)}
            if chance.random() < 0.5:
                instance |= {"request_id": f"r{number}", "timestamp_ms": TIME_MS}
            body = {"instances": [instance] * chance.choice([1, 1, 2])}
            yield self._sent(chance, f"/v1/models/{self.model}:predict", body)

    def v2(self, seed: int, count: int) -> Iterator[Request]:
        """V2 bodies of JSON."""
        for number in range(count):
            chance = random.Random(f"v2 {seed} {number}")
            yield self._sent(chance, f"/v2/models/{self.model}/infer", self._v2(chance))

    def binary(self, seed: int, count: int) -> Iterator[Request]:
        """V2 bodies with binary tensors."""
        for number in range(count):
            chance = random.Random(f"binary {seed} {number}")
            body, tail = self._v2(chance), b""
            for tensor in body["inputs"]:
                data = tensor.pop("data")
                raw = struct.pack(f"<{len(data)}q", *data)
                if chance.random() < 0.1:
                    tensor["datatype"] = "BYTES"
                    texts = [str(value).encode() for value in data]
                    raw = b"".join(struct.pack("<I", len(text)) + text for text in texts)
                size: Any = len(raw)
                if chance.random() < 0.1:
                    lie = struct.pack("<I", 2**32 - 1)
                    raw = chance.choice(
                        [raw[:-3], raw + b"xy", lie + raw, lie, b"", b"\xff" * len(raw)]
                    )
                    size = chance.choice([size, len(raw)])
                if chance.random() < 0.1:
                    size = chance.choice([0, -1, 2**63, 10**30, "8", None, 1.5, size + 1, [], True])
                tensor["parameters"] = {"binary_data_size": size}
                tail += raw
            if chance.random() < 0.4:
                body = _changed(chance, body)
            head = _dumped(chance, body)
            length: object = len(head)
            if chance.random() < 0.15:
                length = chance.choice([0, -1, "x", "", len(head) + 1, len(head) - 1, 2**64, "1e3"])
            data = _flipped(chance, head + tail) if chance.random() < 0.1 else head + tail
            headers = {HEADER_LENGTH: str(length)}
            yield Request(path=f"/v2/models/{self.model}/infer", body=data, headers=headers)

    def messages(self, seed: int, count: int) -> Iterator[bytes]:
        """Messages for gRPC's ModelInfer."""
        from kserve.protocol.grpc import grpc_predict_v2_pb2 as pb

        for number in range(count):
            chance = random.Random(f"grpc {seed} {number}")
            message = pb.ModelInferRequest(model_name=self.model, id=f"r{number}")
            raw = chance.random() < 0.4
            for tensor in self._v2(chance)["inputs"]:
                data = tensor["data"]
                added = message.inputs.add(name=tensor["name"], datatype="INT64", shape=[len(data)])
                if raw:
                    message.raw_input_contents.append(struct.pack(f"<{len(data)}q", *data))
                else:
                    added.contents.int64_contents.extend(data)
            for _ in range(chance.choice([0, 1, 1, 2])):
                _change_message(chance, message)
            data = message.SerializeToString()
            yield _flipped(chance, data) if chance.random() < 0.15 else data

    def _user(self, chance: random.Random) -> int:
        return chance.choice([*self.users, 999_999_999])

    def _items(self, chance: random.Random) -> list[int]:
        return chance.choices([*self.items, 888_888_888], k=chance.choice([1, 2, 5, 20]))

    def _v2(self, chance: random.Random) -> dict[str, Any]:
        values = {"user_id": [self._user(chance)], "item_ids": self._items(chance)}
        if chance.random() < 0.6:
            values["context_tab"] = [1]
        if chance.random() < 0.5:
            values["timestamp_ms"] = [TIME_MS]
        body: dict[str, Any] = {
            "inputs": [
                {"name": name, "shape": [len(data)], "datatype": "INT64", "data": data}
                for name, data in values.items()
            ]
        }
        if chance.random() < 0.4:
            body["id"] = "mine"
        if chance.random() < 0.3:
            body["parameters"] = {"binary_data_output": chance.choice([True, False, 1, "x"])}
        if chance.random() < 0.3:
            name = chance.choice(["score_click", "flags", "none such", ""])
            body["outputs"] = [{"name": name, "parameters": {"binary_data": True}}]
        return body

    @staticmethod
    def _sent(chance: random.Random, path: str, body: Any) -> Request:
        headers = {"Content-Type": "application/json"}
        kind = chance.random()
        if kind < 0.75:
            body = _changed(chance, body)
        data = _dumped(chance, body)
        if 0.75 <= kind < 0.85:
            data = _flipped(chance, data)
        elif 0.85 <= kind < 0.9:
            data = chance.choice(
                [b"", b"\xff\xfe", data[: len(data) // 2], data + b"}", b"\x00" * 9]
            )
        elif 0.9 <= kind < 0.95:
            packed = gzip.compress(data)
            data = chance.choice([packed, packed[:-4], packed + b"x", data, gzip.compress(packed)])
            headers["Content-Encoding"] = chance.choice(
                ["gzip", "gzip", "deflate", "br", "gzip, gzip"]
            )
        elif kind < 0.97:
            headers["Content-Type"] = chance.choice(["text/plain", "multipart/form-data", "", "x"])
        elif kind < 0.98:
            del headers["Content-Type"]
        elif kind < 0.99:
            path = path.replace("ranker", chance.choice(["none", "a" * 900, "%00", "..%2f"]))
        return Request(path=path, body=data, headers=headers)


def _paths(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield at
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from _paths(inner, (*at, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value[:3]):
            yield from _paths(inner, (*at, number))


def _changed(chance: random.Random, body: Any) -> Any:
    """One to three changes somewhere in a JSON value."""
    body = copy.deepcopy(body)
    for _ in range(chance.choice([1, 1, 2, 3])):
        path = chance.choice(list(_paths(body))[1:] or [()])
        if not path or chance.random() < 0.02:
            return chance.choice(VALUES)
        parent = body
        for step in path[:-1]:
            parent = parent[step]
        last = path[-1]
        what = chance.random()
        if what < 0.1:
            del parent[last]
        elif what < 0.2 and isinstance(parent, dict):
            parent[chance.choice(["x", "__proto__", "id", "\x00", "", "inputs", "data"])] = (
                chance.choice(VALUES)
            )
        elif last == "shape":
            parent[last] = copy.deepcopy(chance.choice(SHAPES))
        elif last == "datatype":
            parent[last] = copy.deepcopy(chance.choice(DATATYPES))
        elif last == "name":
            parent[last] = chance.choice([*NAMES, *VALUES])
        else:
            parent[last] = copy.deepcopy(chance.choice(VALUES))
    return body


def _dumped(chance: random.Random, body: Any) -> bytes:
    text = json.dumps(body)
    if chance.random() < 0.02:
        text = text.replace("[", chance.choice(DEEP), 1)
    return text.encode("utf-8", "surrogatepass")


def _flipped(chance: random.Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.choice([1, 3, 10])):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _change_message(chance: random.Random, message: Any) -> None:
    tensor = chance.choice(list(message.inputs)) if message.inputs else message.inputs.add()
    raw = message.raw_input_contents
    what = chance.randrange(14)
    if what == 0:
        tensor.datatype = chance.choice(
            [d for d in DATATYPES if isinstance(d, str) and d.isascii()]
        )
    elif what == 1:
        del tensor.shape[:]
        tensor.shape.extend(
            chance.choice(
                [[-1], [0], [2**63 - 1], [2**31, 2**31], [2**62, 4], [1] * 64, [-(2**63)]]
            )
        )
    elif what == 2:
        tensor.name = chance.choice(NAMES)
    elif what == 3:
        tensor.ClearField("contents")
    elif what == 4:
        tensor.contents.int64_contents.extend([chance.choice([0, -1, 2**63 - 1])] * 1_001)
    elif what == 5:
        tensor.contents.bool_contents.append(True)
    elif what == 6:
        tensor.contents.bytes_contents.append(
            chance.choice([b"", b"7", b"\xff\xfe", b"a" * 70_000])
        )
    elif what == 7:
        tensor.contents.fp64_contents.append(chance.choice([float("nan"), 1e308, -0.0]))
    elif what == 8:
        raw.append(chance.randbytes(chance.choice([0, 1, 8, 1_000])))
    elif what == 9 and raw:
        at = chance.randrange(len(raw))
        raw[at] = chance.choice([raw[at][:-1], b"", struct.pack("<I", 2**32 - 1) + raw[at]])
    elif what == 10:
        message.model_name = chance.choice(["", "none", "a" * 5_000, "\x00"])
    elif what == 11:
        message.model_version = chance.choice(["1", "none", "\x00"])
    elif what == 12:
        message.id = chance.choice(["", "\x00", "a" * 100_000, "é"])
    else:
        message.outputs.add(name=chance.choice(["score_click", "none such", ""]))
