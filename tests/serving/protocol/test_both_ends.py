"""What ingest accepts, the endpoint accepts: the same values through both, in every protocol."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.bounds import MAX_INT, MAX_NUMBER, MAX_TEXT, MIN_INT
from hemix.cli.spoken import spoken_id, spoken_items, spoken_pair
from hemix.errors import DataError, RequestError
from hemix.features.sources.conversions import Kind, to_category, to_id, to_number
from hemix.features.sources.place import Place
from hemix.serving.client import to_v2
from hemix.serving.messages.request import RequestContract
from hemix.serving.protocol.kserving import import_kserve
from hemix.serving.protocol.ranking_tensors import instance_of
from hemix.serving.protocol.v2_http import parse_json, read_request

PLACE = Place(key="interactions[0].columns.user_id", column="u", url="file:///log.parquet")

import_kserve()
from kserve import InferInput, InferRequest  # noqa: E402 - with an empty command line

from hemix.serving.protocol.v2_grpc import read_message  # noqa: E402

WHOLE = st.one_of(
    st.integers(-(2**64), 2**64),
    st.sampled_from([-(2**63), MIN_INT, MAX_INT, 2**63, 2**53 + 1, 0, -1]),
)
TEXT = st.one_of(
    st.text(max_size=8),
    st.sampled_from(
        [" a", "a,b", "\0", "a\0", "\n", "\r", "\x85", "\u2028", "7", "007", "null", "🦊"]
    ),
    st.integers(MAX_TEXT - 1, MAX_TEXT + 1).map("é".__mul__),
)
NUMBER = st.one_of(
    st.floats(),
    st.sampled_from([MAX_NUMBER, -MAX_NUMBER, 1e39, 2.0**64, 5e-324]),
)


def accepted(values: list[Any], kind: Kind) -> bool:
    """Whether ingest takes the value as an id and as a category."""
    column = pl.Series(values, strict=False)
    try:
        to_category(column, kind, PLACE)
        return to_id(column, kind, PLACE).to_list() == values
    except DataError:
        return False


def v1(instance: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = parse_json(json.dumps(instance).encode())
    return found


def v2(instance: dict[str, Any]) -> dict[str, Any]:
    return instance_of(read_request(json.dumps(to_v2(instance)).encode(), None))


def grpc(instance: dict[str, Any]) -> dict[str, Any]:
    body = to_v2(instance)
    inputs = [
        InferInput(name=i["name"], shape=i["shape"], datatype=i["datatype"], data=i["data"])
        for i in body["inputs"]
    ]
    message = InferRequest(
        model_name="ranker", request_id=body.get("id", ""), infer_inputs=inputs
    ).to_grpc()
    return instance_of(read_message(type(message).FromString(message.SerializeToString())))


PROTOCOLS = [v1, v2, grpc]
Carry = Callable[[dict[str, Any]], dict[str, Any]]


@pytest.mark.parametrize("carry", PROTOCOLS)
@settings(deadline=None, max_examples=60)
@given(value=WHOLE)
def test_whole_numbers(carry: Carry, value: int) -> None:
    contract = RequestContract(user_id="int", item_id="int", context={"tab": "int"})
    instance = {"user_id": value, "item_ids": [value], "context": {"tab": value}}
    if accepted([value], "int64"):
        read = contract.parse(carry(instance))
        assert (read.user_id, read.item_ids, read.context) == (value, [value], {"tab": value})
    elif carry is v1:  # the other protocols cannot even spell what is beyond 64 bits
        with pytest.raises(RequestError, match=r"user_id|item_ids"):
            contract.parse(carry(instance))


@pytest.mark.parametrize("carry", PROTOCOLS)
@settings(deadline=None, max_examples=80)
@given(value=TEXT)
def test_texts(carry: Carry, value: str) -> None:
    contract = RequestContract(user_id="text", item_id="text", context={"page": "text"})
    if accepted([value], "string"):
        instance = {
            "user_id": value,
            "item_ids": [value],
            "context": {"page": value},
            "request_id": value,
        }
        read = contract.parse(carry(instance))
        assert (read.user_id, read.item_ids, read.context) == (value, [value], {"page": value})
        assert read.request_id == value
        # ... and from a shell
        assert spoken_id(value, as_text=True) == value
        assert spoken_items(None, [value], as_text=True) == [value]
        assert spoken_pair("page=" + json.dumps(value)) == ("page", value)


@pytest.mark.parametrize("carry", PROTOCOLS)
@settings(deadline=None, max_examples=60)
@given(value=NUMBER)
def test_numbers(carry: Carry, value: float) -> None:
    contract = RequestContract(user_id="int", item_id="int", context={"price": "number"})
    try:
        known = to_number(pl.Series([value]), PLACE).is_not_nan().all()
    except DataError:
        known = False
    instance = {"user_id": 1, "item_ids": [1], "context": {"price": value}}
    if known:
        assert contract.parse(carry(instance)).context == {"price": value}
    elif carry is not v1 or (value == value and abs(value) != float("inf")):
        with pytest.raises(RequestError, match=r"context\.price: .* must be a finite number"):
            contract.parse(carry(instance))


@pytest.mark.parametrize("value", [float(2**53 + 2), 7.0, 1e18])
def test_a_float_is_no_id(value: float) -> None:
    contract = RequestContract(user_id="int", item_id="int", context={})
    for carry in PROTOCOLS:
        with pytest.raises(RequestError, match=r"user_id: .* must be a whole number"):
            contract.parse(carry({"user_id": value, "item_ids": [1]}))


@pytest.mark.parametrize(
    "text", ["007", "+5", "1_000", "\uff15", "12E5", "0x1F", "-0", " 7", "1.0"]
)
def test_what_is_not_exactly_a_number_is_sent_as_text(text: str) -> None:
    assert spoken_id(text, as_text=False) == text
    assert spoken_items(None, [text], as_text=False) == [text]


def test_words_of_the_shell() -> None:
    assert spoken_id("-12", as_text=False) == -12
    assert spoken_items("1, 2,", [" a", "b,c"], as_text=False) == [1, 2, " a", "b,c"]
    assert [spoken_pair(f"x={v}")[1] for v in ("3", "1.5", "12E5", "nan", "a=b", '"3"')] == [
        3,
        1.5,
        "12E5",
        "nan",
        "a=b",
        "3",
    ]
    for bad in ("x", "=3", 'x="3'):
        with pytest.raises(RequestError, match="--context"):
            spoken_pair(bad)
    with pytest.raises(RequestError, match="--items"):
        spoken_items(" , ", [], as_text=False)
