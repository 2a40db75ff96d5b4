"""Events at the door: what is taken, what is refused and why, and what becomes of what is refused."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from hemix.errors import RequestError, StorageError
from hemix.features.feature_views import views_digest
from hemix.features.live.base import base_name, build_base
from hemix.features.live.stores.base import EventsUnavailable
from hemix.features.live.stores.sqlite import SqliteEvents
from hemix.serving.events.contract import EventContract
from hemix.serving.events.dead_letters import DeadLetter, DeadLetters
from hemix.serving.events.desk import LEVELS, EventDesk
from hemix.serving.events.feast_push import SOURCE, events_of_push
from hemix.serving.messages.answer import EVENTS_BEHIND, EVENTS_MISSING
from hemix.serving.messages.echo import is_deeper
from hemix.serving.protocol.event_routes import _some, events_of
from hemix.serving.protocol.v2_http import parse_json
from tests.features.live.streams import Stream
from tests.features.live.test_meaning import NOON, row, stream
from tests.features.logs import DAY

NOW = NOON + 1_000
GOOD = {
    "event_id": "e",
    "user_id": 1,
    "item_id": 2,
    "event_time": NOON,
    "request_id": "r",
    "labels": {"click": 1},
}


@pytest.fixture(scope="module")
def published() -> Stream:
    return stream([], [row(1, NOON - 60_000, click=1)])


@pytest.fixture(scope="module")
def contract(published: Stream) -> EventContract:
    return EventContract.of(published.log.definition, published.log.types)


def write_base(made: Stream, folder: Path, as_of: int = NOON) -> None:
    log = made.log
    build_base(
        log.definition,
        log.types,
        events=made.published.write(folder / f"events-{as_of}"),
        as_of=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=as_of),
        out=folder / base_name(views_digest(log.definition, log.types)),
    )


Opened = Callable[..., EventDesk]


@pytest.fixture
def opened(published: Stream, tmp_path: Path) -> Opened:
    """Desks of one store, folder of dead letters and feature store, as replicas have them."""
    write_base(published, tmp_path)

    def make(now: int = NOW) -> EventDesk:
        desk = EventDesk(
            SqliteEvents(tmp_path / "events.db", wait_s=0.2),
            DeadLetters(tmp_path / "dead"),
            lambda: tmp_path,
            clock=lambda: now / 1000,
        )
        assert desk.follow(published.log.definition, published.log.types) is not None
        return desk

    return make


def follower(desk: EventDesk) -> Any:
    (found,) = desk._followers.values()
    return found


def clicks(desk: EventDesk, time: int = NOW) -> tuple[int, tuple[str, ...]]:
    columns, flags = follower(desk).columns(1, [2], time, now=True)
    return int(columns.user["user_click_ever"][0]), flags


def dead(folder: Path) -> list[dict[str, Any]]:
    files = sorted(folder.glob("dead-letters-*.jsonl"))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"event_id": None}, "event_id: is missing"),
    ({"event_id": 130775545883395173}, "event_id: 130775545883395173 must be a text"),
    ({"event_id": "a\nb"}, "event_id: .* no line break"),
    ({"user_id": "1"}, "user_id: 1 must be a whole number"),
    ({"item_id": 2.0}, r"item_id: 2\.0 must be a whole number"),
    ({"event_time": NOON / 1000}, "event_time: .* seconds"),
    ({"event_time": "yesterday"}, "event_time: yesterday must be"),
    ({"event_time": 4_070_908_800_000}, "event_time: .* ahead of the endpoint's clock"),
    ({"known_at": NOW + DAY}, "known_at: .* in the future"),
    ({"labels": {"buy": 1}}, "labels.buy: no such task; known: click, like"),
    ({"labels": {"click": 2}}, "labels.click: 2 must be 0 or 1"),
    ({"labels": {"click": "1"}}, "labels.click: the text '1' must be 0 or 1"),
    ({"labels": [1]}, "labels: give an object"),
    ({"labels": None}, "labels: give labels .* or an action"),
    ({"action": "like"}, "labels: give labels .* one of them"),
    (
        {"labels": None, "request_id": None, "action": "like"},
        "action: this definition has no behaviours",
    ),
    ({"context": {"colour": 1}}, "context.colour: no such column of the interactions"),
    ({"context": {"price": "x"}}, "context.price: x must be"),
    ({"session": 1}, "session: no such field"),
    ({"event_time": "0001-01-01T00:00:00+14:00"}, "event_time: 0001-.* must be"),
    ({"known_at": "9999-12-31T23:59:59-12:00"}, "known_at: 9999-.* must be"),
    ({"request_id": None}, "request_id: is missing; give the one that the log has"),
    ({"request_id": ""}, "request_id: is missing"),
    ({"request_id": 0}, "request_id: 0 must be a text"),
    ({"request_id": []}, r"request_id: \[\] must be a text"),
]


@pytest.mark.parametrize(("change", "said"), BAD)
def test_what_is_wrong_is_said_by_field(
    contract: EventContract, change: dict[str, Any], said: str
) -> None:
    with pytest.raises(RequestError, match=f"^events.3.\\.{said}"):
        contract.parse({**GOOD, **change}, now_ms=NOW, where="events[3].")


@pytest.mark.parametrize(
    "written",
    ["2022-01-08T12:00:00.0579+02:00", "2022-01-08T10:00:00.057Z", "2022-01-08T10:00:00.0570"],
)
def test_times_are_utc_milliseconds_wherever_the_endpoint_runs(
    contract: EventContract, written: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    event = contract.parse({**GOOD, "event_time": written}, now_ms=1_700_000_000_000)
    assert event.time_ms == 1_641_636_000_057
    assert event.known_ms == 1_700_000_000_000


def test_each_event_has_its_own_result_and_a_retry_is_harmless(
    opened: Opened, contract: EventContract, tmp_path: Path
) -> None:
    desk = opened()
    batch = [{**GOOD, "event_id": "a"}, {**GOOD, "user_id": None}, {**GOOD, "event_id": "b"}, 7]
    first = desk.take(contract, batch, "http").to_json()
    assert [r["status"] for r in first["results"]] == ["accepted", "refused", "accepted", "refused"]
    assert first["results"][1]["error"].startswith("user_id: is missing")
    assert (first["accepted"], first["refused"], first["durable"]) == (2, 2, True)
    again = desk.take(contract, [*batch, batch[0]], "http")
    statuses = [result.status for result in again.results]
    assert statuses == ["duplicate", "refused", "duplicate", "refused", "duplicate"]
    assert [letter["event"] for letter in dead(tmp_path / "dead")] == [batch[1], 7]


def test_an_event_is_seen_by_the_next_request_on_every_replica(
    opened: Opened, contract: EventContract
) -> None:
    one, other = opened(), opened()
    assert clicks(one) == (1, ())
    for number in range(5):
        taker, asked = (one, other) if number % 2 else (other, one)
        event = {**GOOD, "event_id": str(number), "item_id": number, "event_time": NOON + number}
        taker.take(contract, [event], "http")
        assert clicks(asked) == (2 + number, ())
    late = opened()  # started after all of it
    assert clicks(late) == (6, ())


def test_a_store_that_fails_is_said_and_recovers(
    opened: Opened, contract: EventContract, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = opened()
    desk.take(contract, [GOOD], "http")
    clicks(desk)
    broken = pytest.MonkeyPatch()

    def fails(*_: object) -> None:
        raise EventsUnavailable("events: gone.")

    broken.setattr(desk.store, "since", fails)
    assert clicks(desk) == (2, (EVENTS_BEHIND,))
    broken.undo()
    assert clicks(desk) == (2, (EVENTS_BEHIND,))  # not asked for half a second
    follower(desk)._resting_until = 0.0
    assert clicks(desk) == (2, ())


def test_a_publication_changes_no_answer(
    opened: Opened, contract: EventContract, published: Stream, tmp_path: Path
) -> None:
    """Ten events each way, asked while the base is exchanged: ten in every answer."""
    desk, other = opened(), opened()
    events = [row(n, NOON + n, click=1, request="r") for n in range(9)]
    desk.take(
        contract,
        [
            {**GOOD, "event_id": str(n), "item_id": r["item_id"], "event_time": r["event_time"]}
            for n, r in enumerate(events)
        ],
        "http",
    )
    assert clicks(desk, NOW) == clicks(other, NOW) == (10, ())
    held = [*published.log.interactions, *events]
    write_base(stream([], held), tmp_path, as_of=NOON + 500)
    assert clicks(desk, NOW) == (10, ())  # still the old base
    desk.take(
        contract, [{**GOOD, "event_id": "late", "item_id": 77, "event_time": NOON + 1}], "http"
    )
    desk.take(
        contract, [{**GOOD, "event_id": "again", "item_id": 3, "event_time": NOON + 3}], "http"
    )
    follower(desk).refresh()
    assert clicks(desk, NOW) == clicks(other, NOW) == clicks(opened(), NOW) == (11, ())
    desk._prune()
    assert follower(desk).horizon_ms == NOON + 500 - DAY


def test_what_has_left_is_missed_by_a_base_that_does_not_hold_it(
    opened: Opened, contract: EventContract, tmp_path: Path
) -> None:
    desk = opened()
    desk.store.prune(NOW + 1)
    follower(desk).refresh()
    assert clicks(desk) == (1, (EVENTS_MISSING,))
    result = desk.take(contract, [GOOD], "http").results[0]
    assert (result.status, "next publication" in result.error) == ("refused", True)
    old = {**GOOD, "event_id": "old", "event_time": NOON - 2 * DAY}
    assert desk.take(contract, [old], "http").results[0].status == "refused"
    assert [letter["event"]["event_id"] for letter in dead(tmp_path / "dead")] == ["e", "old"]


def test_nothing_is_acknowledged_when_a_dead_letter_cannot_be_kept(
    opened: Opened, contract: EventContract, tmp_path: Path
) -> None:
    desk = opened()
    (tmp_path / "dead").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="dead"):
        desk.take(contract, [GOOD, {}], "http")
    assert desk.store.size() == 0
    (tmp_path / "dead").unlink()
    statuses = [r.status for r in desk.take(contract, [GOOD, {}], "http").results]
    assert statuses == ["accepted", "refused"]


def test_rows_of_feasts_push_become_the_same_events(
    opened: Opened, contract: EventContract
) -> None:
    frame = {
        "event_id": ["p", "q"],
        "user_id": [1, 1],
        "item_id": [2, 3],
        "event_timestamp": [NOON, NOON + 1],
        "request_id": ["r", "r"],
        "label_click": [1, None],
        "label_like": [float("nan"), 0],
        "price": [0.5, None],
    }
    events = events_of_push({"push_source_name": SOURCE, "df": frame, "to": "online"})
    assert events == [
        {
            "event_id": "p",
            "user_id": 1,
            "item_id": 2,
            "event_time": NOON,
            "request_id": "r",
            "labels": {"click": 1},
            "context": {"price": 0.5},
        },
        {
            "event_id": "q",
            "user_id": 1,
            "item_id": 3,
            "event_time": NOON + 1,
            "request_id": "r",
            "labels": {"like": 0},
        },
    ]
    desk = opened()
    assert [r.status for r in desk.take(contract, events, "push").results] == ["accepted"] * 2
    assert clicks(desk) == (2, ())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"push_source_name": "other"}, "push_source_name: must be hemix_events"),
        ({"to": "offline"}, "to: must be online"),
        ({"df": {"a": [1], "b": []}}, "df: columns must be of one length"),
        ({"df": [1]}, "df: give an object of columns"),
        ({"more": 1}, "body: must be"),
    ],
)
def test_other_pushes_are_refused_by_field(change: dict[str, Any], said: str) -> None:
    body = {"push_source_name": SOURCE, "df": {"event_id": ["x"]}, **change}
    with pytest.raises(RequestError, match=said):
        events_of_push(body)


def _letters(folder: Path, who: str) -> None:
    letters = DeadLetters(folder)
    for number in range(50):
        letters.write(
            [DeadLetter(event={"who": who, "n": number, "pad": "x" * 3_000}, error="bad")]
        )


def test_dead_letters_of_several_writers_are_whole_lines(tmp_path: Path) -> None:
    letters = DeadLetters(tmp_path)
    letters.write([DeadLetter(event="first", error="bad")])
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    with file.open("ab") as handle:
        handle.write(b'{"key": "torn, by a process that was kill')
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_letters, args=(tmp_path, who)) for who in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
        assert writer.exitcode == 0
    found = dead(tmp_path)
    assert b"".join(f.read_bytes() for f in sorted(tmp_path.iterdir())).startswith(whole)
    assert len(found) == 101
    assert len({letter["key"] for letter in found}) == 101


ODD = [
    '{"event_id": "\\ud800"}',
    '{"event_id": NaN, "user_id": 1}',
    '{"event_id": 118059162071741130342, "user_id": Infinity}',
    '{"event_id": [[[[1]]]]}',
    '{"event_id": "e", "\\udc00": NaN}',
    "7",
]


@pytest.mark.parametrize("odd", ODD)
def test_an_odd_event_costs_the_others_nothing_and_is_kept_as_strict_json(
    opened: Opened, contract: EventContract, tmp_path: Path, odd: str
) -> None:
    body = f'{{"events": [{json.dumps(GOOD)}, {odd}]}}'.encode()
    values = events_of(parse_json(body))
    result = opened().take(contract, values, "http").to_json()
    written = orjson.loads(orjson.dumps(result))  # as the route answers
    assert [one["status"] for one in written["results"]] == ["accepted", "refused"]
    (file,) = (tmp_path / "dead").iterdir()
    kept = orjson.loads(file.read_bytes())["event"]
    again = json.loads(kept) if isinstance(kept, str) else kept
    assert json.dumps(again) == json.dumps(json.loads(odd))


def test_what_lies_too_deep_to_be_written_out_is_refused_at_the_door() -> None:
    deep = json.loads("[" * 900 + "]" * 900)
    assert is_deeper(deep, LEVELS)
    assert not is_deeper({**GOOD, "context": {"price": [1]}}, LEVELS)
    with pytest.raises(RequestError, match=r"events\[1\]: .* more than 8 deep"):
        _some([GOOD, {"event_id": deep}])


def test_whole_numbers_that_pandas_made_floats_are_whole_again() -> None:
    frame = {
        "event_id": ["a", "b"],
        "label_click": [1.0, float("nan")],
        "action": [None, "view"],
        "tab": [3.0, None],
        "price": [-0.0, 0.5],
    }
    shown, acted = events_of_push({"push_source_name": SOURCE, "df": frame})
    assert shown == {
        "event_id": "a",
        "labels": {"click": 1},
        "context": {"tab": 3, "price": -0.0},
    }
    assert [type(v) for v in shown["context"].values()] == [int, float]  # type: ignore[index]
    assert acted == {"event_id": "b", "action": "view", "context": {"price": 0.5}}
    frame |= {"event_time": [1, 2], "event_timestamp": [1, 2]}
    with pytest.raises(RequestError, match="not both"):
        events_of_push({"push_source_name": SOURCE, "df": frame})
