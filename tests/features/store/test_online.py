"""Values survive the store bit for bit, unknown keys get defaults, a dead store is an error."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from hemix.breaker import Breaker
from hemix.errors import FeatureStoreError, RequestError
from hemix.features.feature_views import Entity
from hemix.features.schema import MISSING_INT
from hemix.features.store import OnlineFeatures
from hemix.features.store.settings import online_settings, open_store
from hemix.features.store.tables import view_tables
from tests.features.store import data


@pytest.fixture(scope="module")
def online(repository: Path) -> OnlineFeatures:
    return OnlineFeatures(repository, "ranker_v1", timeout_s=10)


def test_every_value_comes_back_as_it_was_written(repository: Path, online: OnlineFeatures) -> None:
    folder = repository.parent
    tables = view_tables(
        data.definition(),
        data.TYPES,
        events=folder / "events",
        state=folder / "state",
        as_of=data.AS_OF,
    )
    for name, table in tables.items():
        key = table.column_names[0]
        keys = table[key].to_pylist()
        rows = online.users(keys) if key == "user_id" else online.items(keys)
        assert rows.known.all()
        assert rows.keys.tolist() == keys
        for column in table.column_names[1:-1]:
            for got, want in zip(rows.columns[column], table[column].to_pylist(), strict=True):
                assert np.array_equal(
                    np.asarray(got),
                    np.asarray(want, np.asarray(got).dtype),
                    equal_nan=_is_float(got),
                ), (name, column)


def _is_float(value: object) -> bool:
    return isinstance(value, float)


def test_profile_is_the_row_valid_at_the_instant(online: OnlineFeatures) -> None:
    rows = online.users([1, 99])
    assert rows.columns["segment"].tolist() == ["né", ""]
    assert rows.columns["age"][0] == 0.1 + 0.2
    assert np.isnan(rows.columns["age"][1])


def test_unknown_keys_hold_defaults_and_are_not_known(online: OnlineFeatures) -> None:
    user, items = online.read(12345, ["a", "nobody", "a"])
    assert user.known.tolist() == [False]
    assert items.known.tolist() == [True, False, True]
    assert items.columns["author_id"].tolist() == [7, MISSING_INT, 7]
    assert items.columns["item_click_ever"].tolist()[1] == 0
    assert np.isnan(items.columns["price"][1])
    assert user.columns["history_item_id"][0].dtype == object
    assert len(user.columns["history_event_time_ms"][0]) == 0
    fallback = online.defaults("item", ["nobody"])
    for name, column in fallback.columns.items():
        assert column.dtype == items.columns[name].dtype
        assert str(column[0]) == str(items.columns[name][1])


def test_no_keys_is_no_rows(online: OnlineFeatures) -> None:
    rows = online.items([])
    assert rows.known.shape == (0,)
    assert rows.columns["price"].dtype == np.float64


def test_an_id_of_another_type_is_named(online: OnlineFeatures) -> None:
    with pytest.raises(RequestError, match="item_id"):
        online.items([3])
    with pytest.raises(RequestError, match="user_id"):
        online.users(["x"])


def test_a_service_that_is_not_there_is_named(repository: Path, tmp_path: Path) -> None:
    with pytest.raises(FeatureStoreError, match="ranker_v9"):
        OnlineFeatures(repository, "ranker_v9")
    with pytest.raises(FeatureStoreError, match=r"feature_store\.yaml"):
        OnlineFeatures(tmp_path, "ranker_v1")


def _with_store(repository: Path, folder: Path, online: dict[str, object]) -> Path:
    import shutil

    shutil.copytree(repository, folder)
    settings = yaml.safe_load((folder / "feature_store.yaml").read_text())
    settings["online_store"] = online
    (folder / "feature_store.yaml").write_text(yaml.safe_dump(settings))
    return folder


def test_a_redis_that_is_gone_is_an_error_at_once(repository: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    gone = {"type": "redis", "connection_string": f"127.0.0.1:{port}"}
    online = OnlineFeatures(_with_store(repository, tmp_path / "r", gone), "ranker_v1", timeout_s=2)
    with pytest.raises(FeatureStoreError):
        online.read(1, ["a"])


def test_a_store_that_never_answers_is_an_error_in_time(repository: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        stuck = {"type": "redis", "connection_string": f"127.0.0.1:{port},socket_timeout=3"}
        online = OnlineFeatures(
            _with_store(repository, tmp_path / "r", stuck), "ranker_v1", timeout_s=0.1, workers=1
        )
        started = time.monotonic()
        for _ in range(3):
            with pytest.raises(FeatureStoreError, match=r"0\.1 s"):
                online.read(1, ["a"])
        assert time.monotonic() - started < 2.5  # three deadlines, far below one socket timeout
        online.close()


def test_a_sqlite_without_tables_is_an_error(repository: Path, tmp_path: Path) -> None:
    empty = {"type": "sqlite", "path": "other.db"}
    online = OnlineFeatures(
        _with_store(repository, tmp_path / "r", empty), "ranker_v1", timeout_s=5
    )
    with pytest.raises(FeatureStoreError, match="no such table"):
        online.users([1])


def test_items_are_kept_for_a_while_and_then_read_again(repository: Path) -> None:
    cached = OnlineFeatures(repository, "ranker_v1", item_cache_s=60, timeout_s=10)
    first = cached.items(["a", "nobody", "a", ""])
    cached._stores.get()  # no worker can reach the store any more
    cached._stores.get()
    again = cached.items(["", "a", "nobody"])
    assert again.known.tolist() == [True, True, False]
    assert again.columns["author_id"].tolist() == first.columns["author_id"][[3, 0, 1]].tolist()
    never = OnlineFeatures(repository, "ranker_v1", item_cache_s=0, timeout_s=0.2, workers=1)
    never._stores.get()
    with pytest.raises(FeatureStoreError):
        never.items(["a"])
    never._stores.put(None)


def test_keys_may_be_numpy_values(online: OnlineFeatures) -> None:
    assert online.users(np.array([1, -5])).known.all()
    assert pa.array(online.items(np.array(["a"], dtype=object)).keys).to_pylist() == ["a"]


class _Held:
    """A store of the reader's that answers when the test says so."""

    def __init__(self, online: OnlineFeatures) -> None:
        self.goes_on = threading.Event()
        self.asked = 0
        self._fetch = online._fetch
        online._fetch = self.fetch  # type: ignore[method-assign]

    def fetch(self, side: Entity, keys: list[Any]) -> Any:
        self.asked += 1
        assert self.goes_on.wait(60)
        return self._fetch(side, keys)


def test_a_silent_store_is_left_alone_and_asked_again_by_a_thread_of_its_own(
    repository: Path,
) -> None:
    changes: list[bool] = []
    breaker = Breaker("the store", failures=3, over_s=0.0, rest_s=0.02, changed=changes.append)
    online = OnlineFeatures(
        repository, "ranker_v1", timeout_s=0.02, workers=2, item_cache_s=0, breaker=breaker
    )
    held = _Held(online)
    for _ in range(3):
        with pytest.raises(FeatureStoreError, match=r"in 0\.02 s"):
            online.users([1])
    asked = held.asked
    for _ in range(500):
        with pytest.raises(FeatureStoreError, match="left alone"):
            online.users([1])
    assert held.asked <= max(asked, 2), "both readers wait in the store, and nothing new is begun"
    assert online.defaults("user", [1]).known.tolist() == [False]
    assert changes == [True]
    online.timeout_s = 60
    held.goes_on.set()
    _until(lambda: not breaker.is_open)
    assert online.users([1]).known.tolist() == [True]
    assert changes == [True, False]
    online.close()
    with pytest.raises(FeatureStoreError, match="closed"):
        online.users([1])


def test_late_answers_are_no_silence(repository: Path) -> None:
    breaker = Breaker("the store", failures=3, over_s=0.0, slow_s=1e9)
    online = OnlineFeatures(
        repository, "ranker_v1", timeout_s=0.01, workers=1, item_cache_s=0, breaker=breaker
    )
    for _ in range(6):
        held = _Held(online)
        with pytest.raises(FeatureStoreError, match=r"in 0\.01 s"):
            online.users([1])
        held.goes_on.set()
        _until(lambda: breaker._silent == 0)
        online._fetch = held._fetch  # type: ignore[method-assign]
    assert not breaker.is_open
    online.close()


def _until(check: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not check():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)


def test_sqlite_holds_one_record_a_key(repository: Path, online_store: str) -> None:
    if online_store != "sqlite":
        pytest.skip("of sqlite")
    with contextlib.closing(sqlite3.connect(repository / "online.db")) as connection:
        tables = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table'"
        ).fetchall()
        assert len(tables) == 5
        for (name,) in tables:
            count = f'SELECT count(*), count(DISTINCT entity_key) FROM "{name}"'
            rows, keys = connection.execute(count).fetchone()
            assert rows == keys > 0
            plan = connection.execute(
                f'EXPLAIN QUERY PLAN SELECT "values" FROM "{name}" WHERE entity_key IN (?)', [b"x"]
            ).fetchall()
            assert "USING INDEX" in plan[0][-1]


def test_no_published_row_expires(repository: Path, online_store: str) -> None:
    """One rule for both sides: rows live until they are replaced, whoever's refresh was refused."""
    store = open_store(repository)
    assert {view.ttl for view in store.list_feature_views()} == {timedelta(0)}
    assert "key_ttl_seconds" not in online_settings(online_store)


def test_a_packed_row_needs_every_feature_of_its_view(repository: Path, online_store: str) -> None:
    if online_store != "sqlite":
        pytest.skip("of sqlite")
    store = open_store(repository)
    view = next(v for v in store.list_feature_views() if v.name.startswith("item_counters"))
    provider = store._get_provider()
    with pytest.raises(ValueError, match=f"a row of {view.name} lacks the feature "):
        provider.online_write_batch(store.config, view, [(None, {}, datetime.now(UTC), None)], None)
