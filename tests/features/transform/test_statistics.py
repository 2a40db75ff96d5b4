from __future__ import annotations

import math
from collections import Counter

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemix.features.transform.statistics import Histogram, Statistics, psi
from tests.features.transform.conftest import Fitted

COUNTS = st.lists(st.integers(0, 500), min_size=2, max_size=6)


def histogram(counts: list[int], bins: list[str] | None = None) -> Histogram:
    names = bins or [str(i) for i in range(len(counts) - 1)] + ["rest"]
    return Histogram(kind="ids", bins=tuple(names), counts=tuple(counts), missing=0.0)


@given(a=COUNTS, b=COUNTS)
def test_psi_is_a_symmetric_distance(a: list[int], b: list[int]) -> None:
    x, y = histogram(a), histogram(b)
    assert psi(x, x) == pytest.approx(0.0)
    assert psi(x, y) == pytest.approx(psi(y, x))
    assert psi(x, y) >= -1e-12


def test_psi_by_hand() -> None:
    p, q = (
        [500.5 / 1001.5, 500.5 / 1001.5, 0.5 / 1001.5],
        [900.5 / 1001.5, 100.5 / 1001.5, 0.5 / 1001.5],
    )
    expected = sum((a - b) * math.log(a / b) for a, b in zip(p, q, strict=True))
    assert psi(histogram([500, 500, 0]), histogram([900, 100, 0])) == pytest.approx(expected)


def test_a_bin_of_one_side_counts_as_rest() -> None:
    a = histogram([50, 30, 20], ["1", "2", "rest"])
    b = histogram([50, 25, 25], ["1", "9", "rest"])
    assert psi(a, b) == pytest.approx(psi(histogram([50, 50]), histogram([50, 50])), abs=1e-9)


def test_histograms_equal_plain_counts(fitted: Fitted) -> None:
    statistics = Statistics.read(fitted.transform / "statistics.json")
    rows = [
        row
        for file in sorted((fitted.transformed / "train").glob("*.parquet"))
        for row in pq.read_table(file).to_pylist()
    ]
    assert statistics.rows == len(rows)
    for name, found in statistics.features.items():
        if found.kind == "length":
            lengths = [len(r[name.replace("_length", "_item_id_index")]) for r in rows]
            assert found.missing == pytest.approx(sum(n == 0 for n in lengths) / len(rows))
            assert found.total == len(rows)
            continue
        column = name.replace("_scaled", "_bucket")
        values = [r[column] for r in rows]
        flat = [v for x in values for v in x] if isinstance(values[0], list) else values
        counts = Counter(flat)
        shown = {b: n for b, n in zip(found.bins, found.counts, strict=True) if b != "rest"}
        assert {int(b): n for b, n in shown.items() if n} == {
            v: n for v, n in counts.items() if str(v) in shown
        }
        assert found.total == len(flat)
        assert found.missing == pytest.approx(counts[0] / len(flat))
    user = [r["user_id_index"] for r in rows]
    share = sum(1 <= v <= 3 for v in user) / len(user)
    assert statistics.features["user_id_index"].unknown == pytest.approx(share)
    assert share > 0
