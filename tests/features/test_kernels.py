"""Each kernel against a loop, on values at the edges of what int64 holds."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemix.features.arrays.dense_ranks import ranks, shards_of
from hemix.features.arrays.gather import compact, gather
from hemix.features.arrays.jagged import ranges
from hemix.features.arrays.time_index import TimeIndex, order_behaviors, pack, tied
from tests.features.oracle import distinct

TIMES = st.one_of(
    st.integers(-3, 3), st.sampled_from([-(2**61), 2**61, 0, 1_650_000_000_000, 2**40])
)
PAIRS = st.lists(st.tuples(st.integers(0, 3), TIMES), max_size=12)


@settings(max_examples=200, deadline=None)
@given(events=PAIRS, queries=PAIRS)
def test_time_index_counts_earlier_events(
    events: list[tuple[int, int]], queries: list[tuple[int, int]]
) -> None:
    events = sorted(events)
    groups, times = (np.array([e[n] for e in events], np.int64) for n in range(2))
    index = TimeIndex(groups, times, 4)
    asked, at = (np.array([q[n] for q in queries], np.int64) for n in range(2))
    found = index.before(asked, at) - index.starts[asked]
    assert found.tolist() == [sum(g == q and t < at for g, t in events) for q, at in queries]


@settings(max_examples=200, deadline=None)
@given(events=PAIRS)
def test_packed_keys_order_and_tie_as_pairs(events: list[tuple[int, int]]) -> None:
    groups, times = (np.array([e[n] for e in events], np.int64) for n in range(2))
    keys = pack(groups, times)
    for a, first in enumerate(events):
        for b, second in enumerate(events):
            assert (keys[a] < keys[b]) == (first < second)
            assert (keys[a] == keys[b]) == (first == second)
    ordered = np.sort(keys)
    assert tied(ordered).tolist() == [ordered.tolist().count(key) > 1 for key in ordered.tolist()]


@settings(max_examples=200, deadline=None)
@given(rows=st.lists(st.tuples(*[st.integers(0, 1)] * 5, st.booleans()), max_size=12))
def test_each_behaviour_stands_once_and_in_order(rows: list[tuple[int, ...]]) -> None:
    names = ("user_id", "event_time", "position", "item_id", "action", "time_exact")
    columns = [np.array([row[n] for row in rows], np.int64) for n in range(6)]
    order = order_behaviors(
        users=columns[0],
        times=columns[1],
        positions=columns[2],
        items=columns[3],
        actions=columns[4],
        exact=columns[5].astype(np.bool_),
    )
    found = [rows[n] for n in order]
    kept = distinct([dict(zip(names, row, strict=True)) for row in rows])
    expected = [tuple(row[name] for name in names) for row in kept]
    assert found == sorted(expected, key=lambda row: row[0])


@settings(deadline=None)
@given(rows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 4))))
def test_ranges_are_concatenated(rows: list[tuple[int, int]]) -> None:
    starts, lengths = (np.array([r[n] for r in rows], np.int64) for n in range(2))
    assert ranges(starts, lengths).tolist() == [s + k for s, n in rows for k in range(n)]


@settings(deadline=None)
@given(data=st.data())
def test_gather_takes_ranges_of_several_sources(data: st.DataObject) -> None:
    words = st.lists(st.sampled_from(["b", "a", "é", ""]), min_size=1, max_size=6)
    texts = data.draw(st.lists(words, min_size=1, max_size=3))
    sources = [
        pa.record_batch(
            {
                "word": pa.array(text).dictionary_encode(),
                "place": pa.array(range(len(text)), pa.int32()),
            }
        )
        for text in texts
    ]
    rows = []
    for which in data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=6)):
        start = data.draw(st.integers(0, len(texts[which])))
        rows.append((which, start, data.draw(st.integers(0, len(texts[which]) - start))))
    which_, starts, lengths = (np.array([r[n] for r in rows], np.int64) for n in range(3))
    found = gather(sources, which_, starts, lengths)
    expected = [texts[w][s : s + n] for w, s, n in rows]
    column = found.columns["word"]
    flat = [word for words in expected for word in words]
    assert column.to_pylist() == flat
    assert column.dictionary.to_pylist() == sorted(set(flat))
    assert found.offsets.tolist() == [0, *np.cumsum([len(e) for e in expected]).tolist()]
    places = [place for _, s, n in rows for place in range(s, s + n)]
    assert found.columns["place"].to_pylist() == places


def test_compact_forgets_the_dictionary_it_came_from() -> None:
    one = compact(np.array([2, 0, 2]), pa.array(["c", "x", "a"]))
    two = compact(np.array([0, 1, 0]), pa.array(["a", "c"]))
    assert one.equals(two)
    assert one.dictionary.to_pylist() == ["a", "c"]


@pytest.mark.parametrize(
    ("left", "right"), [([5, -1, 5], [7, 5]), (["b", "é", "a"], ["\uffff", "\U0001f600", "b"])]
)
def test_ranks_order_as_values(left: list[object], right: list[object]) -> None:
    (a, b), distinct = ranks([pa.array(left), pa.array(right)])
    values = sorted({*left, *right})  # type: ignore[type-var]
    assert distinct == len(values)
    assert [values[rank] for rank in a] == left
    assert [values[rank] for rank in b] == right


def test_shards_are_stable_and_even() -> None:
    ids = pa.array(range(10_000))
    shards = shards_of(ids, 8)
    assert np.array_equal(shards, shards_of(ids, 8))
    assert np.bincount(shards, minlength=8).min() > 1000
    texts = shards_of(ids.cast(pa.string()), 8)
    assert np.bincount(texts, minlength=8).min() > 1000
    # Written down, so that a change of hash is noticed.
    assert shards_of(pa.array([0, 1, -5]), 1000).tolist() == [0, 789, 62]
    assert shards_of(pa.array(["", "a"]), 1000).tolist() == [774, 504]
