"""NDCG, MRR and hit rate against all orders of tied candidates, and against hand counts."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.models.metrics.bootstrap import UserBootstrap
from hemix.models.metrics.per_request import HIT_AT, NDCG_AT, PER_REQUEST, ordered, per_request

NDCG, MRR, HIT = PER_REQUEST
ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 2), st.integers(0, 2)), min_size=1, max_size=7
)


def of_order(name: str, labels: tuple[int, ...]) -> float:
    """A metric of one order of one request, best first."""
    if name == NDCG:
        gains = [1 / math.log2(place + 2) for place in range(min(NDCG_AT, len(labels)))]
        best = sum(gains[: sum(labels)])
        return sum(g for g, label in zip(gains, labels, strict=False) if label) / best
    first = labels.index(1)
    return 1 / (first + 1) if name == MRR else float(first < HIT_AT)


def slow(name: str, rows: list[tuple[int, int]]) -> float:
    """The mean over all orders that the scores allow."""
    labels = [label for label, _ in rows]
    if len(set(labels)) < 2:
        return math.nan
    orders = [
        tuple(label for label, _ in order)
        for order in itertools.permutations(rows)
        if all(a[1] >= b[1] for a, b in itertools.pairwise(order))
    ]
    return float(np.mean([of_order(name, order) for order in orders]))


@given(ROWS)
def test_equal_the_mean_over_all_orders_of_ties(rows: list[tuple[int, int, int]]) -> None:
    labels, scores, groups = (np.array(column) for column in zip(*rows, strict=True))
    for name in PER_REQUEST:
        found = per_request(name, labels, scores / 10, groups)
        for group in range(len(found)):
            own = [(label, score) for label, score, g in rows if g == group]
            expected = slow(name, own) if own else math.nan
            assert found[group] == pytest.approx(expected, nan_ok=True), name


def test_one_score_for_all_is_neither_rewarded_nor_moved_by_the_order_of_rows() -> None:
    labels = np.array([1, 0, 0, 1, 1])
    chance = per_request(NDCG, labels, np.zeros(5), np.zeros(5, np.int64))
    assert 0.5 < chance[0] < 1.0
    shuffle = np.random.default_rng(1)
    for _ in range(20):
        again = per_request(NDCG, shuffle.permutation(labels), np.zeros(5), np.zeros(5, np.int64))
        assert again == pytest.approx(chance)


def test_requests_without_a_choice_are_left_out_and_counted() -> None:
    labels = np.array([1, 0, 0, 0, 1, 1, 0, 1])
    requests = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    scores = np.array([0.9, 0.1, 0.5, 0.4, 0.3, 0.2, 0.8, 0.1])
    assert ordered(labels, requests) == 2
    np.testing.assert_allclose(per_request(MRR, labels, scores, requests), [1, np.nan, np.nan, 0.5])
    np.testing.assert_allclose(per_request(HIT, labels, scores, requests), [1, np.nan, np.nan, 0])
    shuffled = np.random.default_rng(0).permutation(8)
    for name in PER_REQUEST:
        np.testing.assert_array_equal(
            per_request(name, labels, scores, requests),
            per_request(name, labels[shuffled], scores[shuffled], requests[shuffled]),
        )


def test_long_lists_and_scores_that_are_no_numbers() -> None:
    labels = np.zeros(1000)
    labels[:500] = 1
    found = per_request(MRR, labels, np.zeros(1000), np.zeros(1000, np.int64))
    assert found[0] == pytest.approx(sum(0.5**n / n for n in range(1, 60)), rel=1e-3)
    with pytest.raises(ValueError, match="1 scores are no numbers"):
        per_request(MRR, [1, 0], [math.nan, 1], [0, 0])
    assert per_request(MRR, [], [], []).size == 0


def test_the_interval_is_over_users() -> None:
    random = np.random.default_rng(5)
    requests = np.repeat(np.arange(600), 4)
    users, labels = requests // 4, (random.random(2400) < 0.3).astype(int)
    scores = labels * 0.3 + random.random(2400)
    draws = UserBootstrap.draw(users, replicates=100)
    for name in PER_REQUEST:
        estimate = draws.metric(name, labels, scores, requests)
        values = per_request(name, labels, scores, requests)
        assert estimate.value == pytest.approx(np.nanmean(values))
        assert estimate.low < estimate.value < estimate.high
