"""Histograms of numbers of any place and size: exact while few, then as fine as the values' spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hemix.features.transform import histogram
from hemix.features.transform.histogram import Cells, boundaries, count, merge, scaling
from tests.features.transform import reference

NUMBERS = arrays(
    np.float64,
    st.tuples(st.integers(0, 60), st.just(2)),
    elements=st.one_of(
        st.integers(-3, 9).map(float),
        st.floats(allow_nan=False, allow_infinity=False),
        st.sampled_from([float("nan"), float("inf"), -float("inf"), -0.0]),
    ),
)


def same(a: list[Cells], b: list[Cells]) -> bool:
    return [(c.level, c.keys.tobytes(), c.counts.tobytes()) for c in a] == [
        (c.level, c.keys.tobytes(), c.counts.tobytes()) for c in b
    ]


@pytest.mark.slow
@given(x=NUMBERS, cut=st.integers(0, 60), seed=st.integers(0, 9))
def test_batches_and_order_do_not_matter(x: np.ndarray, cut: int, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(x)
    assert same(merge([count(x)]), merge([count(shuffled[:cut]), count(shuffled[cut:])]))


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 999), parts=st.integers(2, 9))
def test_neither_do_they_where_cells_become_coarse(seed: int, parts: int) -> None:
    """Many more values than cells: merged as a tree, as a chain or at once, the same bytes."""
    rng = np.random.default_rng(seed)
    scale = 10.0 ** rng.integers(-8, 9)
    x = rng.normal(rng.normal() * scale * 1e4, scale, (1500, 1))
    x[: rng.integers(0, 700)] *= 10.0 ** rng.integers(-200, 200)
    before, histogram.CELLS = histogram.CELLS, 64
    try:
        pieces = [count(piece) for piece in np.array_split(rng.permutation(x), parts)]
        chain = pieces[0]
        for piece in pieces[1:]:
            chain = merge([chain, piece])
        half = merge([merge(pieces[: parts // 2]), merge(pieces[parts // 2 :])])
        assert chain[0].level > 0
        assert len(chain[0].keys) <= 64
        assert chain[0].counts.sum() == len(x)
        assert same(chain, count(x))
        assert same(half, count(x))
    finally:
        histogram.CELLS = before


@pytest.mark.slow
@given(x=NUMBERS, bins=st.integers(1, 12))
def test_edges_equal_the_plain_ones(x: np.ndarray, bins: int) -> None:
    for column, cells in zip(x.T, count(x), strict=True):
        plain = [float(v) + 0.0 for v in column if np.isfinite(v)]
        found = boundaries(cells, bins)
        assert found == reference.edges(plain, bins)
        assert len(found) <= bins - 1
        assert found == sorted(set(found))


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(
    place=st.floats(-1e12, 1e12),
    exponent=st.integers(-280, 280),
    narrow=st.floats(1e-9, 1.0),
    shape=st.sampled_from(["normal", "uniform", "ties", "heavy"]),
    seed=st.integers(0, 99),
)
def test_mean_deviation_and_buckets_are_those_of_numpy(
    place: float, exponent: int, narrow: float, shape: str, seed: int
) -> None:
    """Wherever numbers lie and however wide: within a hundredth of their deviation, of numpy's."""
    rng = np.random.default_rng(seed)
    around = {
        "normal": rng.normal(size=40_000),
        "uniform": rng.random(40_000),
        "ties": rng.integers(0, 40, 40_000).astype(float),
        "heavy": np.where(rng.random(40_000) < 0.9, 0.0, rng.normal(size=40_000)),
    }[shape]
    x = np.ldexp(place + around * max(abs(place), 1.0) * narrow, exponent)
    deviation = np.ldexp(np.std(np.ldexp(x, -exponent)), exponent)
    mean = np.ldexp(np.mean(np.ldexp(x, -exponent)), exponent)
    found = scaling([count(x[:, None])], [False], [16])
    assert abs(found.mean_F[0] - mean) < 0.01 * deviation
    assert found.deviation_F[0] == pytest.approx(deviation, rel=0.01)
    edges = found.edges_FK[0]
    filled = np.bincount(np.searchsorted(edges, x, side="right"), minlength=15)
    if shape in ("normal", "uniform") and len(np.unique(x)) > 35_000:
        assert filled.min() > 40_000 / 15 * 0.95
        assert filled.max() < 40_000 / 15 * 1.05
    else:
        assert np.count_nonzero(filled) >= min(4, len(np.unique(x)))


@pytest.mark.parametrize(
    ("name", "x"),
    [
        ("dates as numbers", 20_270_400 + np.arange(40_000) % 28 + 1.0),
        ("milliseconds of a day", 1.798e12 + np.arange(80_000) * 1080.0),
        ("longitude", 2.3522 + np.arange(50_000) * 2e-9),
        ("the largest", np.linspace(-1.7, 1.7, 50_000) * 1e308),
        ("one far away", np.append(np.arange(50_000) / 1e4, 1e30)),
    ],
)
def test_scaled_values_are_of_order_one(name: str, x: np.ndarray) -> None:
    found = scaling([count(x[:, None])], [False], [16])
    half = (x / 2 - found.mean_F[0] / 2) / found.deviation_F[0] * 2
    assert abs(half.mean()) < 1e-3, name
    assert half.std() == pytest.approx(1, rel=1e-3)
    used = np.unique(np.searchsorted(found.edges_FK[0], x, side="right"))
    assert len(used) == 15, name


def test_a_heavy_zero_leaves_the_other_bins_to_the_rest() -> None:
    x = np.array([0] * 900 + [1, 2, 3, 4] * 25, np.float64)[:, None]
    assert boundaries(count(x)[0], 5) == [1.0, 2.0, 3.0, 4.0]


def test_few_values_are_exact() -> None:
    x = np.random.default_rng(0).normal(1.7e9, 3e4, 30_000)
    cells = count(x[:, None])[0]
    assert cells.level == 0
    assert cells.middle().tolist() == np.unique(x).tolist()


def test_a_feature_without_values_or_spread_is_left_as_it_is() -> None:
    x = np.array([[np.nan, 7.1, 5e-324], [np.inf, 7.1, 1e-323]])
    found = scaling([count(x)], [True, False, False], [4, 4, 4])
    assert found.mean_F[:2].tolist() == [0.0, 7.1]
    assert found.deviation_F.tolist() == [1.0, 1.0, 1.0]
    assert np.all(np.isinf(found.edges_FK[:2]))
    nothing = scaling([], [True], [4])
    assert nothing.deviation_F.tolist() == [1.0]
