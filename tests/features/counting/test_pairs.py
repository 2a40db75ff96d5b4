"""Counters of pairs and matches: pairs stay apart, edges of windows, what a bound leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hemix.features.counting.matches import Lists, matched
from hemix.features.counting.numbering import numbered_values
from hemix.features.counting.pairs import Candidates, UserEvents, pair_counts
from hemix.features.store.per_candidate import pair_columns
from tests.features.logs import definition

T = 1_700_000_000_000
HOUR = 3_600_000


def ids(*values: Any) -> np.ndarray:
    return np.array(values, dtype=object)


def count(
    shown: list[tuple[str, str, int]], asked: list[tuple[str, str]], *, last: int = 500
) -> list[int]:
    """The ``1h`` count at T of each asked (user, item), of events (user, item, time)."""
    users = sorted({user for user, *_ in [*shown, *asked]})
    items = sorted({item for _, item, *_ in [*shown, *asked]})
    found = pair_counts(
        UserEvents(
            users=np.array([users.index(user) for user, _, _ in shown], np.int64),
            values=np.array([items.index(item) for _, item, _ in shown], np.int64),
            times=np.array([time for *_, time in shown], np.int64),
            flags={"impression": None},
        ),
        Candidates(
            users=np.array([users.index(user) for user, _ in asked], np.int64),
            values=np.array([items.index(item) for _, item in asked], np.int64),
            times=np.full(len(asked), T, np.int64),
        ),
        windows=("1h",),
        last=last,
        delay_ms=0,
    )
    return found.counts["impression", "1h"].tolist()


def test_pairs_of_one_user_or_of_one_item_or_of_odd_ids_stay_apart() -> None:
    times = {("u1", "i1"): 5, ("u1", "i2"): 7, ("u2", "i1"): 9, ("a:b", "c"): 2, ("a", "b:c"): 3}
    shown = [(*pair, T - 1 - n) for pair, number in times.items() for n in range(number)]
    assert count(shown, list(times)) == list(times.values())
    assert count(shown, [("u2", "i2"), ("a", "c"), ("a:b", "b:c")]) == [0, 0, 0]


@pytest.mark.parametrize(
    ("before", "counted"),
    [(0, 0), (1, 1), (HOUR, 1), (HOUR + 1, 0), (HOUR - 1, 1)],
)
def test_a_window_holds_its_first_instant_and_not_its_last(before: int, counted: int) -> None:
    assert count([("u", "i", T - before)], [("u", "i")]) == [counted]


def test_only_the_last_events_are_looked_at_and_all_of_the_oldests_instant() -> None:
    shown = [("u", "old", T - 40), ("u", "i", T - 30), ("u", "j", T - 30), ("u", "k", T - 20)]
    asked = [("u", "old"), ("u", "i"), ("u", "j"), ("u", "k")]
    assert count(shown, asked, last=2) == [0, 1, 1, 1]
    assert count(shown, asked, last=1) == [0, 0, 0, 1]
    assert count(shown[::-1], asked, last=2) == [0, 1, 1, 1]


def test_a_request_counts_from_its_users_lists_as_time_goes_on() -> None:
    made = definition(counting=True, matching=False)
    lists = {
        "shown_event_time_ms": np.array([T - HOUR, T - 1000], np.int64),
        "shown_item_id": ids("b:c", "c"),
        "shown_tab": np.array([1, -(2**63)], np.int64),
        "shown_label_click": np.array([1, 0], np.int64),
        "shown_label_like": np.array([1, 0], np.int64),
        "acted_event_time_ms": np.array([T - 1500], np.int64),
        "acted_item_id": ids("c"),
        "acted_tag": ids(""),
        "acted_action": ids("click"),
    }
    asked = {"item_id": ids("c", "b:c", ""), "tag": ids("", "x", ""), "tab": np.array([1])}
    now = pair_columns(made, lists, asked, T)
    assert now["user_item_impression_2s"].tolist() == [1, 0, 0]
    assert now["user_item_like_ever"].tolist() == [0, 1, 0]
    assert now["user_item_impression_since"].tolist() == [1, 3600, -1]
    assert now["user_item_action_click_2s"].tolist() == [1, 0, 0]
    assert now["user_tag_action_click_ever"].tolist() == [0, 0, 0]  # a missing tag is no tag
    assert now["user_tab_click_1h"].tolist() == [1]
    later = pair_columns(made, lists, asked, T + 1001)
    assert later["user_item_impression_2s"].tolist() == [0, 0, 0]
    assert later["user_tab_click_1h"].tolist() == [0]


def test_candidates_and_events_are_numbered_alike() -> None:
    for asked, held in (
        (ids("a", "", "z"), ids("b", "a", "")),
        (np.array([7, -(2**63), 9]), np.array([8, 7, -(2**63)])),
        (np.array([0.5, np.nan, 2.0]), np.array([1.0, 0.5, np.nan])),
        (np.array([0.0, np.nan, 2.0]), np.array([1.0, -0.0, np.nan])),
    ):
        mine, theirs = numbered_values(asked, held)
        assert mine[0] == theirs[1] >= 0
        assert mine[1] == theirs[2] == -1
        assert mine[2] not in theirs.tolist() or mine[2] == -1


def test_matches_in_the_whole_list_and_in_its_end() -> None:
    lists = Lists(
        offsets=np.array([0, 4, 4, 6]),
        values=np.array([1, 2, 1, 3, 9, 9]),
        gaps=np.array([40, 30, 20, 10, 5, -1]),
    )
    rows = np.array([0, 0, 0, 1, 2])
    whole, among, since = matched(lists, rows, np.array([1, 3, -1, 1, 9]), last=(1, 2))
    assert whole.tolist() == [2, 1, 0, 0, 2]
    assert among[1].tolist() == [0, 1, 0, 0, 1]
    assert among[2].tolist() == [1, 1, 0, 0, 2]
    assert since.tolist() == [20, 10, -1, -1, -1]
