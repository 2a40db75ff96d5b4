"""Items' rows in memory: fresh ones only, and so many bytes of them."""

from __future__ import annotations

import numpy as np

from hemix.features.store.items import ItemCache, size_of


def row(text: str) -> tuple[bool, tuple[object, ...]]:
    return True, (text, 1.5, 7, np.arange(3))


def test_rows_are_good_for_a_while() -> None:
    cache = ItemCache(keep_s=10, limit=10_000)
    cache.put({"a": row("x")}, 100.0)
    assert cache.get(["a", "b"], 110.0) == [row_of(cache, "a"), None]
    assert cache.get(["a"], 110.1) == [None]


def row_of(cache: ItemCache, key: str) -> object:
    return cache._rows[key][2]


def test_the_oldest_go_when_bytes_run_out_and_a_row_read_again_counts_once() -> None:
    cache = ItemCache(keep_s=10, limit=20_000)
    for number in range(200):
        cache.put({f"i{number}": row("é" * 50)}, float(number % 5))
        assert cache.bytes <= 20_000
    keys = [f"i{number}" for number in range(200)]
    held = [hit is not None for hit in cache.get(keys, 0.0)]
    assert held == sorted(held)
    assert 10 < sum(held) < 60
    before = cache.bytes
    for _ in range(50):
        cache.put({"i199": row("é" * 50)}, 5.0)
    assert cache.bytes == before
    cache.put({"huge": row("u" * 50_000)}, 5.0)
    assert cache.bytes <= 20_000


def test_text_and_arrays_count_as_long_as_they_are() -> None:
    assert size_of("a" * 1000) >= 1000
    assert size_of("日" * 1000) >= 2000
    assert size_of(np.zeros(1000)) >= 8000
    texts = np.empty(10, dtype=object)
    texts[:] = ["b" * 100] * 10
    assert size_of((texts, 1)) >= 1000
