"""Statistics within a request against a slow reading of them, one candidate at a time."""

from __future__ import annotations

import math
import random

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hemix.features.derived.among_candidates import within_request
from tests.features.oracle import STATISTICS, standing

NUMBERS = st.sampled_from([10.0, 5.0, -0.0, 0.0, math.nan, -3.5, 0.1, 0.2, 1e30, -1e30])
NUMBERS |= st.floats(-1e38, 1e38)
ROWS = st.lists(st.tuples(NUMBERS, st.integers(0, 2)), max_size=12)


def bits(values: np.ndarray) -> list[str]:
    return ["nan" if math.isnan(v) else float(v).hex() for v in values]


@given(ROWS, st.randoms(use_true_random=False))
def test_equal_the_slow_reading_in_any_order_and_company(
    rows: list[tuple[float, int]], shuffle: random.Random
) -> None:
    values = np.array([v for v, _ in rows], dtype=np.float64)
    requests = np.array([r for _, r in rows], dtype=np.int64)
    found = within_request(values, requests, STATISTICS)
    for name in STATISTICS:
        slow = [standing(name, v, [o for o, q in rows if q == r]) for v, r in rows]
        assert bits(found[name]) == bits(np.array(slow))
    order = shuffle.sample(range(len(rows)), len(rows))
    again = within_request(values[order], requests[order], STATISTICS)
    alone = requests == 0
    one = within_request(values[alone], np.zeros(alone.sum(), np.int64), STATISTICS)
    for name in STATISTICS:
        assert bits(again[name]) == bits(found[name][order])
        assert bits(one[name]) == bits(found[name][alone])


def test_ties_and_missing_values_have_a_rule() -> None:
    values = np.array([10, math.nan, 10, 5, math.nan, -0.0])
    found = within_request(values, np.zeros(6, np.int64), STATISTICS)
    assert found["rank"].tolist() == [3, 5, 3, 2, 5, 1]
    assert found["count"].tolist() == [4] * 6
    assert found["mean"].tolist() == [6.25] * 6
    assert bits(found["ratio_to_mean"]) == bits(np.array([1.6, math.nan, 1.6, 0.8, math.nan, 0.0]))


def test_whole_numbers_below_zero_are_missing() -> None:
    found = within_request(np.array([3, -(2**63), 1]), np.zeros(3, np.int64), ("rank", "min"))
    assert found["rank"].tolist() == [2, 3, 1]
    assert found["min"].tolist() == [1.0] * 3
