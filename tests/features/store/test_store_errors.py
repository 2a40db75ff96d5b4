"""What a store raises is told as what it is: out of reach only what was not reached."""

from __future__ import annotations

import json
import socket
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from hemix.errors import FeatureStoreError, HemixError, StorageError
from hemix.features.store import OnlineFeatures, build_repository, publish
from hemix.features.store.settings import store_errors
from tests.disks import give_room, tiny_disk
from tests.features.store import data
from tests.features.store.servers import free_port


def _told(work: object) -> HemixError:
    with pytest.raises(HemixError) as caught, store_errors("redis://me@host:1/0"):
        work()  # type: ignore[operator]
    return caught.value


def test_a_full_database_is_a_full_disk(tmp_path: Path) -> None:
    def fill() -> None:
        with closing(sqlite3.connect(tmp_path / "online.db")) as database:
            database.execute("CREATE TABLE rows (x BLOB)")
            database.execute("PRAGMA max_page_count = 4")
            database.execute("INSERT INTO rows VALUES (zeroblob(100000))")

    told = _told(fill)
    assert type(told) is StorageError
    assert "disk is full" in told.hint


def test_only_a_store_that_was_not_reached_is_out_of_reach() -> None:
    def refused() -> None:
        socket.create_connection(("127.0.0.1", free_port()), timeout=2)

    def misnamed() -> None:
        raise json.JSONDecodeError("names collide", "x", 0)

    def locked() -> None:
        raise sqlite3.OperationalError("database is locked")

    assert "can be reached" in _told(refused).hint
    told = _told(misnamed)
    assert type(told) is FeatureStoreError
    assert "host:1/0 failed: JSONDecodeError: names collide" in told.message
    assert "reached" not in told.hint
    assert "Another process" in _told(locked).hint


@pytest.mark.slow
def test_a_publish_on_a_full_disk_leaves_what_serves_and_can_be_repeated(tmp_path: Path) -> None:
    events, state = data.write_log(tmp_path)
    repositories = []
    for service, length in (("ranker_v1", 3), ("ranker_v2", 5)):
        made = data.definition(
            sequences={"columns": ["author_id"], "global_length": length, "realtime_length": 3}
        )
        out = tmp_path / service
        build_repository(made, data.TYPES, events, state, data.AS_OF, service, out)
        repositories.append(out)
    refused = []
    with tiny_disk(tmp_path / "disk", "8k") as disk:
        kilobytes = 8
        for repository in repositories:
            for kilobytes in range(kilobytes, 800, 24):  # noqa: B020 - from what the last one took
                give_room(disk, f"{kilobytes}k")
                try:
                    publish(repository, disk / "live")
                    break
                except StorageError as error:
                    refused.append((repository.name, "disk is full" in error.hint))
        assert {*refused} == {("ranker_v1", True), ("ranker_v2", True)}
        for service in ("ranker_v1", "ranker_v2"):
            online = OnlineFeatures(disk / "live", service, timeout_s=10)
            assert online.users([1]).known.all()
            online.close()
