"""Transformer and predictors apart: the same answers, bit for bit, and what happens when one is gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from serving.client import rank
from tests.serving.live import TIME_MS, Endpoint, Workshop
from tests.serving.roles import Split, start_split

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.fixture(scope="module")
def split(
    endpoint: Endpoint, workshop: Workshop, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Split]:
    """The shared endpoint's registry and store, served by processes of their own."""
    with start_split(workshop, endpoint.root, ("v1", "v2")) as running:
        yield running


def ask(endpoint: Endpoint, protocol: str, user: int, items: list[int], **more: Any) -> Any:
    url = endpoint.grpc if protocol == "grpc" else endpoint.url
    return rank(user, items, url=url, protocol=protocol, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["v1", "v2", "grpc"])
def test_the_answers_are_those_of_one_process(
    split: Split, endpoint: Endpoint, workshop: Workshop, protocol: str
) -> None:
    users, items = workshop.known(users=12, items=60)
    options = {"context": {"tab": 1}, "request_id": "same", "timestamp_ms": TIME_MS}
    cases = [(user, items[:size]) for user, size in zip(users, [1, 2, 7, 60] * 3, strict=True)]
    cases += [(999_999_999, items[:3]), (users[0], [888_888_888, items[0]])]
    versions = set()
    for user, candidates in cases:
        one = ask(endpoint, protocol, user, candidates, **options)
        apart = ask(split.transformer, protocol, user, candidates, **options)
        assert apart == one
        versions.add(one["version"])
    assert versions == {"v1", "v2"}, "both predictors were asked"


def test_a_thousand_candidates(split: Split, endpoint: Endpoint, workshop: Workshop) -> None:
    users, items = workshop.known(items=500)
    many = (items * 2)[:1000]
    one, apart = (
        ask(e, "v1", users[0], many, timestamp_ms=TIME_MS) for e in (endpoint, split.transformer)
    )
    assert np.array_equal(np.float32(one["scores"]["click"]), np.float32(apart["scores"]["click"]))
    assert one["ranked_item_ids"] == apart["ranked_item_ids"]
