"""What an event means for a request, one rule a test, on one small log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from hemix.features.definition import DatasetDefinition
from hemix.features.live.columns import columns_at
from hemix.features.live.events import LiveEvent
from hemix.features.live.state import LiveState
from hemix.features.schema import ColumnTypes
from hemix.features.sources.tables import read_interactions
from hemix.features.store.assemble import RequestColumns
from hemix.features.store.overlay import overlaid
from tests.features.live.streams import Stream, derived, derives, expected, served
from tests.features.logs import DAY, MIDNIGHT, SmallLog, definition

HOUR = 3_600_000
NOON = MIDNIGHT + DAY // 2


def row(
    item: int, time: int, *, click: int = 0, user: int = 1, request: str = ""
) -> dict[str, Any]:
    return {
        "request_id": request,
        "user_id": user,
        "item_id": item,
        "event_time": time,
        "tab": 0,
        "price": 0.5,
        "label_click": click,
        "label_like": 0,
    }


def event(item: int, time: int, *, known: int | None = None, **what: Any) -> LiveEvent:
    values = {"labels": {"click": 1}, "request_id": "", "user_id": 1, **what}
    known_ms = time if known is None else known
    return LiveEvent(event_id="e", item_id=item, time_ms=time, known_ms=known_ms, **values)


def stream(
    events: list[LiveEvent], held: list[dict[str, Any]], *, counting: bool = False, **sequences: Any
) -> Stream:
    log = SmallLog(
        definition=derives(definition(counting=counting, matching=False, **sequences)),
        types=ColumnTypes(
            user_id=pa.int64(),
            item_id=pa.int64(),
            users={"city": pa.string(), "fans": pa.float64()},
            items={"author_id": pa.int64(), "tag": pa.string(), "size": pa.float64()},
            context={"tab": pa.int64(), "price": pa.float64()},
        ),
        behaviors=derived(held),
        interactions=held or [row(99, NOON - 10 * DAY, user=9)],
        users=[],
        items=[],
    )
    return Stream(log=log, as_of=NOON, published=log, events=events)


def clicks(state: LiveState, time: int, window: str = "ever", **asked: Any) -> int:
    found = served(state, row(1, time), **asked)
    return int(str(found[f"user_click_{window}"]))


def test_an_event_is_seen_from_when_it_became_known() -> None:
    made = stream([event(1, NOON + 100, known=NOON + 130)], [])
    state = LiveState(made.base())
    state.add(made.events)
    assert [clicks(state, NOON + at) for at in (110, 129, 130, 140)] == [0, 0, 1, 1]
    for at in (110, 130, 140):
        asked = row(1, NOON + at)
        found = served(state, asked)
        assert found == expected(made.oracle(NOON + at), asked, list(found))
    assert clicks(state, NOON + 110, all_known=True) == 1


def test_requests_of_any_order_see_their_own_past() -> None:
    state = LiveState(stream([], []).base())
    state.add([event(1, NOON + 100), event(2, NOON + 101)])
    for at, count in ((99, 0), (200, 2), (101, 1), (100, 0)):
        assert clicks(state, NOON + at) == count
        found = served(state, row(1, NOON + at))
        assert len(found["realtime_item_id"]) == count  # type: ignore[arg-type]


def test_a_window_is_closed_at_its_far_end_and_open_at_the_request() -> None:
    state = LiveState(stream([], []).base())
    time = NOON + 2 * HOUR
    for at in (time, time - 1, time - HOUR, time - HOUR - 1, time - HOUR + 1):
        state.add([event(at % 1000, at)])
    assert clicks(state, time, "1h") == 3
    assert clicks(state, time, "1d") == 4


def test_counts_decay_when_nothing_happens() -> None:
    state = LiveState(stream([], [row(1, NOON - 1000, click=1)]).base())
    state.add([event(1, NOON)])
    asked = {"1h": [], "1d": [], "ever": []}  # type: dict[str, list[int]]
    for later in (59 * 60_000, 61 * 60_000, 25 * HOUR, 8 * DAY):
        for window, found in asked.items():
            found.append(clicks(state, NOON + later, window))
    assert asked == {"1h": [2, 0, 0, 0], "1d": [2, 2, 0, 0], "ever": [2, 2, 2, 2]}


def test_the_seam_is_cut_by_what_the_log_held() -> None:
    """One event reached the log in time and is told again; one of the same minutes did not."""
    held = row(1, NOON - 60_000, click=1)
    state = LiveState(stream([], [held]).base())
    both = [event(2, NOON - 120_000, known=NOON + 600_000), event(1, NOON - 60_000)]
    state.add([*both, *both])
    assert clicks(state, NOON + 660_000) == 2
    # The next publication's log holds the late one as well.
    following = LiveState(stream([], [held, row(2, NOON - 120_000, click=1)]).base())
    following.add(both)
    assert clicks(following, NOON + 660_000) == 2


@pytest.mark.parametrize("said", ["", "r1", f"1-{NOON - 1000}"])
def test_a_log_without_request_ids_and_its_stream_are_joined(tmp_path: Path, said: str) -> None:
    """Ingest makes the ids of such a log; what comes both ways is one interaction, whatever it says."""
    made = stream([], [])
    value = made.log.definition.model_dump(mode="json")
    (source,) = value["interactions"]
    del source["columns"]["request_id"], source["columns"]["price"]
    value["numeric"] = [field for field in value["numeric"] if field["name"] != "price"]
    value["within_request"] = []
    source |= {"paths": [str(tmp_path / "log.csv")], "time_unit": "ms"}
    without = DatasetDefinition.parse(value)
    (tmp_path / "log.csv").write_text(f"u,i,t,tab,c,l\n1,1,{NOON - 1000},0,1,0\n")
    (frame,) = read_interactions(without, made.log.types)
    held = row(1, NOON - 1000, click=1, request=frame["request_id"][0])
    made = stream([], [held])
    made = replace(made, published=replace(made.published, definition=without))
    made = replace(made, log=replace(made.log, definition=without))
    state = LiveState(made.base())
    state.add([event(1, NOON - 1000, known=NOON, request_id=said)])
    assert clicks(state, NOON + 10) == 1
    state.add([event(1, NOON + 1, request_id=name) for name in ("", said, "other")])
    assert clicks(state, NOON + 10) == 2


def test_a_late_event_falls_into_its_place() -> None:
    made = stream([], [], realtime_length=3, realtime_window="last")
    state = LiveState(made.base())
    state.add([event(at, NOON + at) for at in (10, 20, 30, 40)])
    state.add([event(15, NOON + 15)])
    assert served(state, row(1, NOON + 99))["realtime_item_id"] == [20, 30, 40]
    state.add([event(25, NOON + 25)])
    assert served(state, row(1, NOON + 99))["realtime_item_id"] == [25, 30, 40]


def test_a_label_that_comes_later_turns_the_impression_into_a_click() -> None:
    state = LiveState(stream([], [row(1, NOON - 10)]).base())
    state.add([event(2, NOON + 10, labels={"click": 0})])
    state.add([event(2, NOON + 10, known=NOON + 50), event(1, NOON - 10, known=NOON + 60)])
    actions = {at: served(state, row(1, NOON + at))["realtime_action"] for at in (20, 55, 70)}
    assert actions == {20: ["seen", "seen"], 55: ["seen", "click"], 70: ["click", "click"]}
    found = served(state, row(1, NOON + 70))
    assert (found["user_impression_ever"], found["user_click_ever"]) == (2, 2)


def test_a_distant_future_freezes_nothing() -> None:
    state = LiveState(stream([], [], realtime_length=10).base())
    state.add([event(9, NOON + 30_000 * DAY, known=NOON)])
    state.add([event(n, NOON + n) for n in range(1, 21)])
    found = served(state, row(1, NOON + 100))
    assert found["realtime_item_id"] == list(range(11, 21))
    assert found["user_click_ever"] == 20


def test_events_of_before_the_horizon_are_left_to_the_next_publication() -> None:
    state = LiveState(stream([], [row(1, NOON - 3 * DAY, click=1)]).base())
    state.add([event(1, NOON - 3 * DAY)])
    assert (clicks(state, NOON + 1), state.too_old, state.events) == (1, 1, 0)


def test_statistics_of_counters_follow_the_events() -> None:
    made = stream([event(1, NOON + 10)], [])
    items = [
        {"item_id": n, "author_id": n, "tag": "", "size": 1.0, "created_at": None, "valid_from": 0}
        for n in (1, 2)
    ]
    state = LiveState(replace(made, published=replace(made.published, items=items)).base())
    state.add(made.events)
    known = state.known(1, [1, 2], NOON + 20, all_known=True)
    live = columns_at(state.log, known, NOON + 20)
    of_publication = RequestColumns(
        user=dict(live.user),
        items={**live.items, "author_click_1d_rank_in_request": np.array([1.0, 1.0])},
    )
    found = overlaid(state.log.definition, of_publication, live, NOON + 20).items
    assert np.asarray(found["author_click_1d"]).tolist() == [1, 0]
    assert np.asarray(found["author_click_1d_rank_in_request"]).tolist() == [2.0, 1.0]
    assert np.asarray(found["author_click_1d_ratio_to_mean_in_request"]).tolist() == [2.0, 0.0]


def test_the_last_one_may_be_older_than_the_base_holds_rows_of() -> None:
    """Seconds since the last event, and counts for ever, reach back beyond the horizon."""
    old = row(1, NOON - 400 * DAY, click=1)
    held = stream([], [old, row(2, NOON - 5 * DAY)], counting=True)
    state = LiveState(held.base())
    asked = row(1, NOON + 1000)
    assert (found := served(state, asked)) == expected(held.oracle(NOON + 1000), asked, [*found])
    assert found["user_action_click_since"] == 400 * 86_400 + 1
    assert found["user_action_click_2s"] == 0
    state.add([event(2, NOON + 500)])
    assert served(state, asked)["user_action_click_since"] == 0
    assert served(state, asked)["user_action_click_2s"] == 1
