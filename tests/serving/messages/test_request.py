from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.bounds import MAX_TEXT
from hemix.errors import RequestError
from hemix.serving.messages.request import MAX_CANDIDATES, MAX_INSTANCES, RequestContract

CONTRACT = RequestContract(
    user_id="int",
    item_id="int",
    context={"tab": "int", "page": "text", "price": "number"},
    candidates={"slot": "int", "cost": "number", "badge": "text"},
)
TEXTS = RequestContract(user_id="text", item_id="text", context={})


def good(**changes: Any) -> dict[str, Any]:
    return {"user_id": 7, "item_ids": [1, 2], **changes}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"item_ids": [1]}, "user_id: is missing"),
    (good(user_id=None), "user_id: is missing"),
    (good(user_id="7"), "user_id: 7 must be a whole number"),
    (good(user_id=7.0), "user_id: 7.0 must be"),
    (good(user_id=True), "user_id: True must be"),
    (good(user_id=2**63), "user_id: 9223372036854775808 must be"),
    (good(user_id=float("nan")), "user_id: nan must be"),
    (good(user_id=[7]), r"user_id: \[7\] must be"),
    ({"user_id": 7}, "item_ids: give a list"),
    (good(item_ids=3), "item_ids: give a list"),
    (good(item_ids=[]), "item_ids: 0 candidates"),
    (good(item_ids=[1] * (MAX_CANDIDATES + 1)), "item_ids: 1001 candidates"),
    (good(item_ids=[1, "x"]), r"item_ids\[1\]: x must be"),
    (good(item_ids=[1, math.nan]), r"item_ids\[1\]: nan must be"),
    (good(context=[1]), "context: give an object"),
    (good(context={"colour": 1}), "context.colour: no such context column; known: tab, page"),
    (good(context={"tab": "1"}), "context.tab: 1 must be a whole number"),
    (good(context={"page": 1}), "context.page: 1 must be a text"),
    (good(context={"page": "x" * (MAX_TEXT + 1)}), "context.page: x+... must be a text"),
    (good(context={"price": math.inf}), "context.price: inf must be a finite number"),
    (good(context={"price": 10**400}), "context.price: 1000.* must be a finite number"),
    (good(request_id=5), "request_id: 5 must be a text"),
    (good(request_id="x" * (MAX_TEXT + 1)), "request_id: x+... must be a text"),
    (good(request_id="half \ud800"), r"request_id: half \? must be a text"),
    (good(timestamp_ms=1.5), "timestamp_ms: 1.5 must be whole milliseconds"),
    (good(timestamp_ms=-1), "timestamp_ms: -1 must be"),
    (good(timestamp_ms=1_651_363_200_000_000), "timestamp_ms: .* milliseconds"),
    (good(users=1), "users: no such field"),
    (good(candidates=[1]), "candidates: give an object"),
    (good(candidates={"colour": [1, 2]}), "candidates.colour: no such candidate column; known: sl"),
    (good(candidates={"tab": [1, 2]}), "candidates.tab: a request has one of it; .*context.tab"),
    (good(context={"slot": 1}), "context.slot: each candidate has its own; .*candidates.slot"),
    (good(candidates={"slot": 1}), "candidates.slot: give a list of 2 values, one a candidate"),
    (good(candidates={"slot": [1]}), "candidates.slot: 1 values for 2 candidates"),
    (good(candidates={"slot": [1, "2"]}), r"candidates.slot\[1\]: 2 must be a whole number"),
    (good(candidates={"cost": [1, math.nan]}), r"candidates.cost\[1\]: nan must be a finite"),
    (good(candidates={"badge": [1, "x"]}), r"candidates.badge\[0\]: 1 must be a text"),
]


@pytest.mark.parametrize(("instance", "message"), BAD)
def test_what_breaks_the_contract_is_named(instance: dict[str, Any], message: str) -> None:
    with pytest.raises(RequestError, match=f"^{message}"):
        CONTRACT.parse(instance)
    with pytest.raises(RequestError, match=rf"^instances\[1\]\.{message}"):
        CONTRACT.parse_body({"instances": [good(), instance]})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (None, "body: must be a JSON object"),
        ([], "body: must be a JSON object"),
        ({}, "instances: give a list"),
        ({"instances": {}}, "instances: give a list"),
        ({"instances": []}, "instances: 0 requests"),
        ({"instances": [good()] * (MAX_INSTANCES + 1)}, "instances: 17 requests"),
        ({"instances": [good()], "colour": 1}, "colour: no such field"),
        ({"instances": [3]}, r"instances\[0\]: give an object"),
    ],
)
def test_a_body_that_is_no_list_of_requests_is_refused(body: object, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        CONTRACT.parse_body(body)


def test_a_good_request_comes_through_as_it_is() -> None:
    request = CONTRACT.parse(
        good(
            context={"tab": 1, "page": None, "price": 3},
            candidates={"slot": [2, 1], "cost": [None, 3]},
            request_id="r",
            timestamp_ms=1651363200000,
        )
    )
    assert request.candidates == {"slot": [2, 1], "cost": [None, 3.0]}
    assert (request.user_id, request.item_ids, request.request_id) == (7, [1, 2], "r")
    assert request.context == {"tab": 1, "price": 3.0}
    assert request.timestamp_ms == 1651363200000
    assert CONTRACT.parse(good(item_ids=[1] * MAX_CANDIDATES)).item_ids == [1] * MAX_CANDIDATES
    assert len(CONTRACT.parse(good()).request_id) == 32


def test_text_ids_are_texts() -> None:
    assert TEXTS.parse({"user_id": "u", "item_ids": ["a"]}).item_ids == ["a"]
    for item in ("", 1, "x" * (MAX_TEXT + 1)):
        with pytest.raises(RequestError, match=r"item_ids\[0\]"):
            TEXTS.parse({"user_id": "u", "item_ids": [item]})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
FIELDS = st.dictionaries(
    st.sampled_from(
        ["user_id", "item_ids", "context", "candidates", "request_id", "timestamp_ms", "x"]
    ),
    JSON,
)


@given(JSON | FIELDS.map(lambda fields: {"instances": [good(**fields)]}))
def test_whatever_is_sent_is_parsed_or_refused(body: object) -> None:
    try:
        requests = CONTRACT.parse_body(body)
    except RequestError as error:
        assert str(error)  # noqa: PT017
    else:
        assert all(1 <= len(r.item_ids) <= MAX_CANDIDATES for r in requests)
