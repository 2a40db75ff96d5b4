from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from hemix.errors import RequestError
from hemix.serving.protocol.v2_binary import pack, unpack
from hemix.serving.protocol.v2_tensors import objects

COLUMNS = st.one_of(
    arrays.arrays(np.int64, st.integers(0, 20)),
    arrays.arrays(np.int32, st.integers(0, 20)),
    arrays.arrays(np.float64, st.integers(0, 20)),
    arrays.arrays(np.float32, st.integers(0, 20)),
    st.lists(st.text(max_size=20), max_size=20).map(objects),
)


@pytest.mark.slow
@given(tensors=st.dictionaries(st.text(min_size=1, max_size=10), COLUMNS, max_size=6))
def test_what_is_packed_is_unpacked_bit_for_bit(tensors: dict[str, np.ndarray]) -> None:
    body, length = pack(tensors, request_id="r", outputs=["x"])
    head, found = unpack(body, length)
    assert (head["id"], head["outputs"]) == ("r", [{"name": "x"}])
    assert list(found) == list(tensors)
    for name, values in tensors.items():
        assert found[name].dtype == values.dtype
        if values.dtype == object:
            assert found[name].tolist() == values.tolist()
        else:
            assert found[name].tobytes() == values.tobytes()
            assert found[name].flags.aligned


def test_kserves_own_reader_and_writer_agree() -> None:
    from hemix.serving.protocol.kserving import import_kserve

    kserve = import_kserve()
    tensors = {"i": np.array([1, -2]), "f": np.array([0.5]), "t": objects(["ä", "", "b"])}
    body, length = pack(tensors, request_id="r")
    read = kserve.InferRequest.from_bytes(body, length, "m")
    assert [(t.name, t.datatype, list(t.shape)) for t in read.inputs] == [
        *(("i", "INT64", [2]), ("f", "FP64", [1]), ("t", "BYTES", [3]))
    ]
    assert read.inputs[2].data == ["ä", "", "b"]
    written = kserve.InferRequest("m", [kserve.InferInput("i", [2], "INT64")], request_id="q")
    written.inputs[0].set_data_from_numpy(tensors["i"], binary_data=True)
    theirs, their_length = written.to_rest()
    head, found = unpack(theirs, their_length)
    assert head["id"] == "q"
    assert found["i"].tolist() == [1, -2]


@given(data=st.binary(max_size=60), length=st.integers(0, 80))
def test_noise_is_refused_and_nothing_else(data: bytes, length: int) -> None:
    with pytest.raises(RequestError):
        unpack(data, length)


def described(**changes: object) -> bytes:
    tensor = {
        "name": "a",
        "shape": [2],
        "datatype": "INT64",
        "parameters": {"binary_data_size": 16},
        **changes,
    }
    return json.dumps({"inputs": [tensor]}).encode()


@pytest.mark.parametrize(
    ("head", "data", "message"),
    [
        (described(parameters={"binary_data_size": 17}), 16, "binary_data_size 17"),
        (described(parameters={"binary_data_size": -1}), 16, "binary_data_size -1"),
        (described(parameters={"binary_data_size": True}), 16, "binary_data_size True"),
        (described(parameters={"binary_data_size": 15}), 15, "no whole number"),
        (described(shape=[3]), 16, r"shape \[3\]"),
        (described(shape=[1, 2]), 16, "one dimension"),
        (described(datatype="FP16"), 16, "datatype FP16"),
        (described(datatype="BYTES"), 16, "text"),
        (described(), 24, "8 bytes that no tensor names"),
    ],
)
def test_headers_that_do_not_fit_are_refused(head: bytes, data: int, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        unpack(head + b"\xff" * data, len(head))


def test_a_tensor_that_stands_twice_is_refused() -> None:
    tensor = json.loads(described())["inputs"][0]
    head = json.dumps({"inputs": [tensor, tensor]}).encode()
    with pytest.raises(RequestError, match="a: the tensor is given twice"):
        unpack(head + bytes(32), len(head))
