"""The stores of live events: each event once and whole, on sqlite and on redis."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hemix.errors import DefinitionError
from hemix.features.live.events import LiveEvent
from hemix.features.live.stores.base import EventsFull, EventStore, EventsUnavailable, Mark
from hemix.features.live.stores.opening import open_events
from hemix.features.live.stores.redis import RedisEvents
from hemix.features.live.stores.sqlite import SqliteEvents
from tests.features.store import servers

NOW = 1_700_000_000_123
Open = Callable[..., EventStore]


def event(name: str, time_ms: int = NOW, **values: Any) -> LiveEvent:
    given = {"user_id": 1, "item_id": 2, "labels": {"click": 1}, **values}
    return LiveEvent(event_id=name, time_ms=time_ms, known_ms=time_ms, **given)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.redis(tmp_path_factory.mktemp("redis")) as address:
        yield address


@pytest.fixture(params=["sqlite", "redis"])
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Open]:
    """Opens the same store, as often as it is called."""
    if request.param == "sqlite":
        yield lambda **options: SqliteEvents(tmp_path / "events.db", **options)
        return
    monkeypatch.setenv("HEMIX_REDIS_PASSWORD", servers.PASSWORD)
    address = request.getfixturevalue("server")
    yield lambda **options: RedisEvents(address, name=tmp_path.name, **options)


def ids(store: EventStore, mark: Mark | None = None) -> list[str]:
    return [found.event_id for found in store.since(mark).events]


def test_an_event_counts_once_whoever_sends_it_how_often(opened: Open) -> None:
    one, other = opened(), opened()
    assert one.append([event("a"), event("b"), event("a")]) == ["accepted", "accepted", "duplicate"]
    assert other.append([event("b"), event("c")]) == ["duplicate", "accepted"]
    first = one.since(None, limit=2)
    assert [found.event_id for found in first.events] == ["a", "b"]
    assert ids(one, first.mark) == ["c"]
    last = other.since(first.mark).mark
    assert ids(other, last) == []
    assert other.since(last).mark == last
    assert one.size() == 3


def test_every_digit_and_sign_comes_back(opened: Open) -> None:
    store = opened()
    events = [
        event("130775545883395173", user_id=130775545883395173, time_ms=1_700_000_000_123),
        event("130775545883395174", user_id="130775545883395173", item_id="é\u0000\U0001f600 a:b"),
        event("b", item_id=-(2**63) + 1, labels=None, action='say "so"\\'),
        event("c", request_id="r", context={"tab": 0.1, "text": "x"}),
    ]
    store.append(events)
    assert list(store.since(None).events) == events


def test_what_is_older_than_the_oldest_window_leaves_and_stays_away(opened: Open) -> None:
    store = opened()
    store.append([event(str(n), NOW + n) for n in range(20)])
    mark = store.since(None).mark
    assert (store.forgotten_ms(), store.prune(NOW + 15)) == (0, 15)
    assert (store.forgotten_ms(), store.prune(NOW + 5), store.size()) == (NOW + 15, 0, 5)
    # Its id is gone with it; that it was there is told by its time.
    assert store.append([event("3", NOW + 3), event("new", NOW + 99)]) == ["too_old", "accepted"]
    assert ids(store) == [*map(str, range(15, 20)), "new"]
    assert ids(store, mark) == ["new"]


def test_a_full_store_takes_nothing_of_a_batch(opened: Open) -> None:
    store = opened(most=3)
    store.append([event("a"), event("b")])
    with pytest.raises(EventsFull, match="holds 2 of at most 3"):
        store.append([event("c"), event("d")])
    assert store.append([event("c"), event("a")]) == ["accepted", "duplicate"]
    assert ids(store) == ["a", "b", "c"]


def test_a_store_made_anew_is_read_from_its_start(opened: Open) -> None:
    store = opened()
    store.append([event("a")])
    page = store.since(Mark(life="another", number=70))
    assert page.again
    assert [found.event_id for found in page.events] == ["a"]


def test_an_id_is_never_remembered_without_its_event_sqlite(tmp_path: Path) -> None:
    store = SqliteEvents(tmp_path / "events.db")
    with sqlite3.connect(tmp_path / "events.db") as connection:
        connection.execute(
            "CREATE TRIGGER broken BEFORE INSERT ON events WHEN NEW.id = 'x'"
            " BEGIN SELECT RAISE(ABORT, 'broken'); END"
        )
    with pytest.raises(EventsUnavailable, match="broken"):
        store.append([event("before"), event("x")])
    assert store.size() == 0
    with sqlite3.connect(tmp_path / "events.db") as connection:
        connection.execute("DROP TRIGGER broken")
    assert store.append([event("before"), event("x")]) == ["accepted", "accepted"]


@pytest.mark.parametrize("part", ["texts", "order", "times", "facts"])
def test_an_id_is_never_remembered_without_its_event_redis(
    server: str, part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMIX_REDIS_PASSWORD", servers.PASSWORD)
    store = RedisEvents(server, name=tmp_path.name)
    client, key = store._redis, f"{{{tmp_path.name}:events}}:{part}"
    client.delete(key)
    client.set(key, "of another program")
    with pytest.raises(EventsUnavailable, match="is a string") as failure:
        store.append([event("x")])
    assert "database of their own" in failure.value.hint
    client.delete(key)
    assert store.append([event("x")]) == ["accepted"]
    client.script_flush()
    assert store.append([event("x")]) == ["duplicate"]
    assert (ids(store), store.size()) == (["x"], 1)
    client.zadd(f"{{{tmp_path.name}:events}}:order", {"ghost": 99})
    with pytest.raises(EventsUnavailable, match="do not belong together"):
        RedisEvents(server, name=tmp_path.name)


def test_what_is_acknowledged_is_on_the_disk(tmp_path: Path) -> None:
    store = SqliteEvents(tmp_path / "events.db")
    for connection in (store._writer, store._reader):
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert store.durable


def test_redis_says_whether_it_keeps_what_it_takes(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMIX_REDIS_PASSWORD", servers.PASSWORD)
    client = RedisEvents(server)._redis
    kept = {name: client.config_get(name)[name] for name in ("appendonly", "appendfsync")}
    assert not RedisEvents(server).durable
    try:
        client.config_set("appendonly", "yes")
        assert not RedisEvents(server).durable  # everysec
        client.config_set("appendfsync", "always")
        assert RedisEvents(server).durable
        client.config_set("maxmemory", "100mb")
        client.config_set("maxmemory-policy", "allkeys-lru")
        with pytest.raises(EventsUnavailable, match="may throw"):
            RedisEvents(server)
    finally:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", "0")
        for name, value in kept.items():
            client.config_set(name, value)


def _write(path: Path, start: int, stop: int) -> None:
    store = SqliteEvents(path)
    for first in range(start, stop, 10):
        store.append([event(str(n)) for n in range(first, min(first + 10, stop))])


@pytest.mark.slow
def test_several_writers_of_which_one_is_killed(tmp_path: Path) -> None:
    """Overlapping ids from four processes, one of them shot: exact totals, no error, no hole."""
    path, context = tmp_path / "events.db", multiprocessing.get_context("spawn")
    SqliteEvents(path).close()
    spans = [(0, 300), (200, 500), (100, 400), (0, 500)]
    writers = [context.Process(target=_write, args=(path, *span)) for span in spans]
    for writer in writers:
        writer.start()
    store = SqliteEvents(path)
    deadline = time.monotonic() + 120
    while store.size() < 50 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert writers[3].pid is not None
    os.kill(writers[3].pid, signal.SIGKILL)
    for writer in writers:
        writer.join(120)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, -signal.SIGKILL]
    _write(path, 0, 500)  # what the one that was killed sends again
    assert sorted(map(int, ids(store))) == list(range(500))


def test_a_reader_keeps_the_log_from_growing_only_while_it_reads(tmp_path: Path) -> None:
    store = SqliteEvents(tmp_path / "events.db")
    for first in range(0, 6_000, 500):
        store.append([event(str(n)) for n in range(first, first + 500)])
        store.since(None, limit=100)
    assert (tmp_path / "events.db-wal").stat().st_size < 8 << 20


def test_addresses(tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="HEMIX_REDIS_PASSWORD"):
        open_events("redis://me:secret@127.0.0.1:1/0")
    with pytest.raises(DefinitionError, match="not a store"):
        open_events("kafka://127.0.0.1")
    with pytest.raises(EventsUnavailable, match=r"redis 127\.0\.0\.1:1/0:"):
        open_events("redis://127.0.0.1:1/0")
    (tmp_path / "text").write_text("no database, and long enough to be seen as none" * 30)
    with pytest.raises(EventsUnavailable, match="text"):
        open_events(str(tmp_path / "text"))
    assert open_events(str(tmp_path / "new" / "events.db")).size() == 0
