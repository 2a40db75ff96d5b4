"""What a transformer sends is what a predictor reads, to the bit; what others send is checked."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.errors import RequestError
from hemix.features.store.assemble import RequestColumns
from hemix.features.transform.statistics import Statistics
from hemix.serving.protocol.kserving import import_kserve
from hemix.serving.protocol.v2_binary import pack, unpack
from hemix.serving.protocol.v2_tensors import objects
from hemix.serving.two_roles.contract import Contract, RawInput
from hemix.serving.two_roles.remote_ranker import encode
from hemix.spec import FeatureSpec

import_kserve()
from hemix.serving.two_roles.predictor_model import columns_of  # noqa: E402 - kserve first, with an empty command line

CONTRACT = Contract(
    version="v1",
    feature_service="ranker_v1",
    definition="{}",
    types={},
    inputs=(
        RawInput(name="user_id", kind="string", side="user"),
        RawInput(name="age", kind="int", side="user"),
        RawInput(name="tab", kind="string", side="context"),
        RawInput(name="seen", kind="string", side="user", ragged=True),
        RawInput(name="gaps", kind="int", side="user", ragged=True),
        RawInput(name="item_id", kind="string", side="item"),
        RawInput(name="price", kind="float", side="item"),
        RawInput(name="tags", kind="string", side="item", ragged=True),
    ),
    spec=FeatureSpec(tasks=(), vocabularies=(), categorical=(), numeric=(), sequences=()),
    statistics=Statistics(rows=0, features={}),
)
INTS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(max_size=12)


def ragged(lists: list[list[Any]], dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    flat = [value for values in lists for value in values]
    values = objects(flat) if dtype is object else np.array(flat, dtype)
    return values, np.cumsum([0, *map(len, lists)], dtype=np.int64)


@st.composite
def raw_columns(draw: st.DrawFn) -> RequestColumns:
    rows = draw(st.integers(1, 8))
    many = lambda values: draw(st.lists(values, min_size=rows, max_size=rows))  # noqa: E731
    seen = draw(st.lists(TEXTS, max_size=6))
    return RequestColumns(
        user={
            "user_id": objects([draw(TEXTS)]),
            "age": np.array([draw(INTS)]),
            "tab": objects([draw(TEXTS)]),
            "seen": ragged([seen], object),
            "gaps": ragged([[draw(INTS) for _ in seen]], np.int64),
            "not_asked_for": np.array([1]),
        },
        items={
            "item_id": objects(many(TEXTS)),
            "price": np.array(many(st.floats())),
            "tags": ragged(many(st.lists(TEXTS, max_size=3)), object),
        },
    )


def same(left: Any, right: Any) -> bool:
    if isinstance(left, tuple):
        return all(same(*pair) for pair in zip(left, right, strict=True))
    if left.dtype == object:
        return bool(left.tolist() == right.tolist() and right.dtype == object)
    return bool(left.tobytes() == right.tobytes() and left.dtype == right.dtype)


@given(raw=raw_columns())
def test_raw_columns_arrive_with_their_bits(raw: RequestColumns) -> None:
    message = encode(CONTRACT, raw)
    _, tensors = unpack(message.body, message.json_length)
    user, items = columns_of(CONTRACT, tensors)
    assert set(user) == {*raw.user} - {"not_asked_for"}
    assert set(items) == set(raw.items)
    for name, column in {**user, **items}.items():
        assert same({**raw.user, **raw.items}[name], column), name


def tensors(**changes: Any) -> dict[str, np.ndarray]:
    good = {
        "user_id": objects(["u"]),
        "age": np.array([7]),
        "tab": objects(["home"]),
        "seen": objects(["a", "b"]),
        "seen.offsets": np.array([0, 2]),
        "gaps": np.array([1, 2]),
        "gaps.offsets": np.array([0, 2]),
        "item_id": objects(["x", "y"]),
        "price": np.array([1.0, 2.0]),
        "tags": objects([]),
        "tags.offsets": np.array([0, 0, 0]),
    }
    changed = {**good, **{name.replace("__", "."): value for name, value in changes.items()}}
    return {name: value for name, value in changed.items() if value is not None}


def test_the_good_ones_are_good() -> None:
    user, items = columns_of(CONTRACT, tensors())
    assert len(items["item_id"]) == 2
    assert user["seen"][1].tolist() == [0, 2]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": None}, "age: is missing"),
        ({"price": None}, "price: is missing"),
        ({"seen__offsets": None}, r"seen\.offsets: give INT64 offsets"),
        ({"seen__offsets": np.array([0.0, 2.0])}, r"seen\.offsets: give INT64"),
        ({"seen__offsets": np.array([0, 3])}, r"seen\.offsets: give 2 rising offsets"),
        ({"seen__offsets": np.array([1, 2])}, "rising offsets"),
        ({"seen__offsets": np.array([0, 1, 2])}, "rising offsets"),
        ({"tags__offsets": np.array([0, 1, 0])}, "rising offsets"),
        ({"tags__offsets": np.array([], np.int64)}, "rising offsets"),
        ({"age": np.array([1, 2])}, "age: 2 values; give 1"),
        ({"price": np.array([1.0])}, "price: 1 values; give 2"),
        ({"age": np.array([1.5])}, "age: datatype FP64; give INT64"),
        ({"user_id": np.array([7])}, "user_id: datatype INT64; give BYTES"),
        ({"item_id": objects([])}, "item_id: 0 candidates"),
        ({"item_id": objects(["x"] * 1001)}, "item_id: 1001 candidates"),
        ({"colour": np.array([1])}, "colour: version v1 has no such column"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=message):
        columns_of(CONTRACT, tensors(**changes))


def test_offsets_whose_differences_overflow_are_refused() -> None:
    """As 64-bit numbers, -2 minus the largest one is positive."""
    offsets = np.array([0, 2**63 - 1, -2, 0])
    three = {"item_id": objects(["x", "y", "z"]), "price": np.array([1.0, 2.0, 3.0])}
    with pytest.raises(RequestError, match=r"^tags\.offsets: give 4 rising offsets"):
        columns_of(CONTRACT, tensors(**three, tags__offsets=offsets))


def test_missing_rows_fit_the_contract() -> None:
    user, items = CONTRACT.missing_rows(3)
    flat: dict[str, np.ndarray] = {}
    for name, column in {**user, **items}.items():
        if isinstance(column, tuple):
            flat[name], flat[f"{name}.offsets"] = column
        else:
            flat[name] = column
    body, length = pack(flat, request_id="")
    columns_of(CONTRACT, unpack(body, length)[1])


def test_a_contract_survives_its_json() -> None:
    assert Contract.model_validate_json(CONTRACT.model_dump_json()) == CONTRACT
