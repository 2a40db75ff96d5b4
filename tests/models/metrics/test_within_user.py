"""Metrics within a user: hand counts, a slow loop, and the artefact that one state a user removes."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.models.metrics.bootstrap import UserBootstrap
from hemix.models.metrics.per_request import PER_REQUEST, ordered, per_request
from hemix.models.metrics.within_user import GAUC, PER_USER, per_user, within_user

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=12
)
Floats = np.ndarray


def slow(name: str, labels: Floats, scores: Floats, users: Floats) -> float:
    """A loop over users, and over pairs of a positive and a negative of each."""
    values, weights = [], []
    for user in np.unique(users):
        mine = users == user
        own, said = labels[mine], scores[mine]
        if own.min() == own.max():
            continue
        if name == GAUC:
            pairs = [
                (a > b) + (a == b) / 2 for a in said[own == 1] for b in said[own == 0]
            ]  # fmt: skip
            values.append(np.mean(pairs))
            weights.append(len(own))
        else:
            one = np.zeros(len(own), np.int64)
            values.append(per_request(name.removeprefix("user_"), own, said, one)[0])
            weights.append(1)
    return float(np.average(values, weights=weights)) if values else math.nan


@pytest.mark.slow
@given(ROWS)
def test_equal_a_loop_over_users_in_any_order_of_rows(rows: list[tuple[int, int, int]]) -> None:
    labels, scores, users = (np.array(column) for column in zip(*rows, strict=True))
    shuffled = np.random.default_rng(0).permutation(len(rows))
    for name in PER_USER:
        expected = slow(name, labels, scores, users)
        assert within_user(name, labels, scores, users) == pytest.approx(expected, nan_ok=True)
        again = within_user(name, labels[shuffled], scores[shuffled], users[shuffled])
        assert again == pytest.approx(expected, nan_ok=True)
        found = UserBootstrap.draw(users, replicates=2).metric(name, labels, scores)
        assert found.value == pytest.approx(expected, nan_ok=True)


def test_ties_weights_and_users_of_one_label_by_hand() -> None:
    """A: tied, half. B: one label, left out. C: right, each row twice, so that it weighs 4 of 6."""
    labels = np.array([1, 0, 1, 1, 1, 0, 1, 0])
    scores = np.array([0.5, 0.5, 0.9, 0.1, 0.9, 0.1, 0.9, 0.1])
    users = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    assert ordered(labels, users) == 2
    values, weights = per_user(GAUC, labels, scores, users)
    np.testing.assert_array_equal(values, [0.5, np.nan, 1.0])
    assert weights.tolist() == [2, 2, 4]
    assert within_user(GAUC, labels, scores, users) == pytest.approx((0.5 * 2 + 1.0 * 4) / 6)
    assert within_user("user_mrr", labels, scores, users) == pytest.approx((0.75 + 1.0) / 2)
    assert within_user("user_hit_rate_at_1", labels, scores, users) == pytest.approx(0.75)


def test_one_score_for_all_is_worth_no_more_than_chance() -> None:
    labels, users = np.array([1, 0, 0, 0, 1, 0]), np.array([0, 0, 0, 0, 1, 1])
    assert within_user(GAUC, labels, np.zeros(6), users) == 0.5
    assert within_user("user_hit_rate_at_1", labels, np.zeros(6), users) == pytest.approx(0.375)
    assert within_user(PER_USER[1], labels, np.zeros(6), users) < 1


@pytest.mark.parametrize("name", PER_USER)
def test_a_score_that_is_no_number_is_an_error(name: str) -> None:
    assert {n.removeprefix("user_") for n in PER_USER[1:]} == set(PER_REQUEST)
    with pytest.raises(ValueError, match="1 scores are no numbers"):
        within_user(name, [1, 0], [math.nan, 1], [0, 0])
    assert math.isnan(within_user(name, [], [], []))
    assert math.isnan(within_user(name, [1, 1], [1, 2], [0, 0]))


def running_rates(labels: Floats, users: Floats, prior: float = 0.4) -> Floats:
    """What the user's own smoothed click rate was before each row, rows in time order."""
    found = np.empty(len(labels))
    seen: dict[int, tuple[int, int]] = {}
    for row, (user, label) in enumerate(zip(users.tolist(), labels.tolist(), strict=True)):
        positives, rows = seen.get(user, (0, 0))
        found[row] = (positives + prior) / (rows + 1)
        seen[user] = positives + label, rows + 1
    return found


def first_of(values: Floats, users: Floats) -> Floats:
    _, first, codes = np.unique(users, return_index=True, return_inverse=True)
    return values[first[codes]]


def test_the_running_rate_orders_against_labels_that_mean_nothing_and_one_state_does_not() -> None:
    """Labels shuffled inside each user: no score can order them, so .5 is the only fair value."""
    random = np.random.default_rng(4)
    users = np.repeat(np.arange(3000), random.integers(2, 9, 3000))
    labels = (random.random(users.size) < random.beta(2, 3, 3000)[users]).astype(int)
    running = running_rates(labels, users)
    live = within_user(GAUC, labels, running, users)
    assert live < 0.3, "an earlier click makes a later one of the same user less likely"
    shared = first_of(running, users)
    assert within_user(GAUC, labels, shared, users) == 0.5
    item = random.random(users.size)
    draws = UserBootstrap.draw(users, replicates=100)
    found = draws.metric(GAUC, labels, item + shared)
    assert found.low < 0.5 < found.high, "beside what else a model reads it moves nothing"
    pulled = draws.metric(GAUC, labels, item + running)
    assert pulled.high < 0.5, "as logged it pulls a model that knows nothing far below"


def test_a_planted_order_is_recovered() -> None:
    """Labels follow the item alone: one state a user gives the item's own GAUC, the live one less."""
    random = np.random.default_rng(5)
    users = np.repeat(np.arange(2000), 6)
    item = random.normal(0, 1, users.size)
    own = random.normal(0, 1, 2000)[users]
    labels = (random.random(users.size) < 1 / (1 + np.exp(-item - own))).astype(int)
    running = 4 * running_rates(labels, users)
    truth = within_user(GAUC, labels, item, users)
    assert truth > 0.7
    assert within_user(GAUC, labels, item + first_of(running, users), users) == pytest.approx(truth)
    assert within_user(GAUC, labels, item + running, users) < truth - 0.05
