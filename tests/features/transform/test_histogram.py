from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from features.transform.histogram import boundaries, count, merge, rounded, scaling
from tests.features.transform import reference

NUMBERS = arrays(
    np.float32,
    st.tuples(st.integers(0, 60), st.just(2)),
    elements=st.one_of(
        st.integers(0, 9).map(float), st.floats(-1e6, 1e6, width=32), st.just(float("nan"))
    ),
)


@given(x=NUMBERS, cut=st.integers(0, 60), seed=st.integers(0, 9))
def test_batches_and_order_do_not_matter(x: np.ndarray, cut: int, seed: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(x)
    whole = merge([count(x)])
    parts = merge([count(shuffled[:cut]), count(shuffled[cut:])])
    for (a, n), (b, m) in zip(whole, parts, strict=True):
        assert a.tobytes() == b.tobytes()
        assert n.tolist() == m.tolist()


@given(x=NUMBERS, bins=st.integers(1, 12))
def test_edges_equal_the_plain_ones(x: np.ndarray, bins: int) -> None:
    for column, (values, counts) in zip(x.T, count(x), strict=True):
        plain = [reference.rounded(float(v)) for v in column if np.isfinite(v)]
        found = boundaries(values, counts, bins)
        assert found == reference.edges(plain, bins)
        assert len(found) <= bins - 1
        assert found == sorted(set(found))


def test_a_heavy_zero_leaves_the_other_bins_to_the_rest() -> None:
    x = np.array([0] * 900 + [1, 2, 3, 4] * 25, np.float32)[:, None]
    values, counts = count(x)[0]
    assert boundaries(values, counts, 5) == [1.0, 2.0, 3.0, 4.0]


def test_counters_are_exact_and_rounding_is_small() -> None:
    integers = np.arange(4097, dtype=np.float32)
    assert rounded(integers).tolist() == integers.tolist()
    x = np.geomspace(1e-6, 1e6, 999).astype(np.float32)
    assert np.all(np.abs(rounded(x) - x) <= x * 2.0**-12)


def test_a_feature_without_values_or_spread_is_left_as_it_is() -> None:
    x = np.array([[np.nan, 7.0], [np.nan, 7.0]], np.float32)
    found = scaling([count(x)], [True, False], [4, 4])
    assert found.mean_F.tolist() == [0.0, 7.0]
    assert found.deviation_F.tolist() == [1.0, 1.0]
    assert np.all(np.isinf(found.edges_FK))
    nothing = scaling([], [True], [4])
    assert nothing.deviation_F.tolist() == [1.0]
