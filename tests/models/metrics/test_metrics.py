"""Every fast metric against a loop that follows its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.models.metrics import calibration
from hemix.models.metrics import pointwise as metrics

ROWS = st.lists(
    st.tuples(st.integers(0, 1), st.integers(0, 8), st.integers(0, 3)), min_size=1, max_size=60
)


def slow_auc(labels: list[int], scores: list[float], weights: list[float] | None = None) -> float:
    weights = weights or [1.0] * len(labels)
    rows = list(zip(labels, scores, weights, strict=True))
    top = bottom = 0.0
    for label, score, weight in rows:
        for other_label, other, other_weight in rows:
            if label == 1 and other_label == 0:
                bottom += weight * other_weight
                top += weight * other_weight * ((score > other) + 0.5 * (score == other))
    return top / bottom if bottom else math.nan


def columns(rows: list[tuple[int, int, int]]) -> tuple[list[int], list[float], list[int]]:
    return [r[0] for r in rows], [r[1] / 10 + 0.05 for r in rows], [r[2] for r in rows]


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_auc_equals_the_count_of_ordered_pairs(rows: list[tuple[int, int, int]]) -> None:
    labels, scores, _ = columns(rows)
    assert metrics.auc(labels, scores) == pytest.approx(slow_auc(labels, scores), nan_ok=True)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_grouped_auc_equals_a_loop_over_groups(rows: list[tuple[int, int, int]]) -> None:
    labels, scores, groups = columns(rows)
    auc, count = metrics.grouped_auc(labels, scores, groups)
    top = bottom = 0.0
    means = []
    for group in range(max(groups) + 1):
        own = [i for i, g in enumerate(groups) if g == group]
        expected = slow_auc([labels[i] for i in own], [scores[i] for i in own])
        assert auc[group] == pytest.approx(expected, nan_ok=True)
        assert count[group] == len(own)
        if not math.isnan(expected):
            top, bottom = top + expected * len(own), bottom + len(own)
            means.append(expected)
    gauc = top / bottom if bottom else math.nan
    assert metrics.gauc(labels, scores, groups) == pytest.approx(gauc, nan_ok=True)
    mean = sum(means) / len(means) if means else math.nan
    assert metrics.impression_auc(labels, scores, groups) == pytest.approx(mean, nan_ok=True)


@settings(max_examples=80, deadline=None)
@given(ROWS)
def test_losses_and_ratios_follow_their_formulas(rows: list[tuple[int, int, int]]) -> None:
    labels, scores, _ = columns(rows)
    loss = -sum(
        math.log(p) if y else math.log(1 - p) for y, p in zip(labels, scores, strict=True)
    ) / len(rows)
    assert metrics.logloss(labels, scores) == pytest.approx(loss)
    rate = sum(labels) / len(labels)
    if 0 < rate < 1:
        base = -(rate * math.log(rate) + (1 - rate) * math.log(1 - rate))
        assert metrics.normalized_entropy(labels, scores) == pytest.approx(loss / base)
    if rate:
        assert metrics.pcoc(labels, scores) == pytest.approx(sum(scores) / sum(labels))
    else:
        assert math.isnan(metrics.pcoc(labels, scores))


@settings(max_examples=80, deadline=None)
@given(ROWS, st.integers(1, 8))
def test_ece_bins_hold_every_row_once_and_ties_stay_together(
    rows: list[tuple[int, int, int]], bins: int
) -> None:
    labels, scores, _ = columns(rows)
    codes = calibration.bin_codes(scores, bins)
    assert len(set(codes.tolist())) <= bins
    by_score: dict[float, set[int]] = {}
    for score, code in zip(scores, codes.tolist(), strict=True):
        by_score.setdefault(score, set()).add(code)
    assert all(len(codes_of_score) == 1 for codes_of_score in by_score.values())
    expected = 0.0
    for code in set(codes.tolist()):
        own = [i for i, c in enumerate(codes.tolist()) if c == code]
        expected += abs(sum(scores[i] - labels[i] for i in own)) / len(rows)
    assert calibration.ece(labels, scores, bins) == pytest.approx(expected)
    assert calibration.calibration_bins(labels, scores, bins).rows.sum() == len(rows)


def test_untied_bins_have_equal_mass() -> None:
    scores = np.random.default_rng(0).random(1000)
    assert set(np.bincount(calibration.bin_codes(scores, 10)).tolist()) == {100}


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([], "no rows"),
        ([0, 0], "one class: every label is 0"),
        ([1, 1], "one class: every label is 1"),
        ([0, 1], ""),
    ],
)
def test_one_class_is_nan_and_says_why(labels: list[int], reason: str) -> None:
    assert metrics.undefined(labels) == reason
    scores = [0.3] * len(labels)
    assert math.isnan(metrics.auc(labels, scores)) == bool(reason)
    assert math.isnan(metrics.normalized_entropy(labels, scores)) == bool(reason)


def test_certain_and_wrong_is_finite() -> None:
    assert metrics.logloss([1, 0], [0.0, 1.0]) == pytest.approx(
        -math.log(metrics.EPSILON), rel=1e-3
    )
