"""A lease is held by one, kept by renewing, and taken over from one that died."""

from __future__ import annotations

import threading
import time

import pytest

from hemix import lease as leases
from hemix import storage
from hemix.errors import EnvironmentProblem, StorageError
from hemix.lease import lease


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leases, "RENEW_S", 0.2)
    monkeypatch.setattr(leases, "EXPIRES_S", 2.0)


def test_a_second_is_told_who_holds_it_and_may_have_it_afterwards(bucket: str) -> None:
    place = f"{bucket}/lock.json"
    with lease(place, what="Another run works there") as held:
        with pytest.raises(EnvironmentProblem, match=r"Another run works there: process \d+ on"):
            leases._take(place, "Another run works there", 0.0)
        held.check()
    assert storage.read_bytes(place) is None
    with lease(place, what="x") as held:
        held.check()


def test_of_many_only_one_works_at_a_time(bucket: str) -> None:
    inside, seen = [], []

    def work() -> None:
        with lease(f"{bucket}/lock.json", what="x", wait_s=60):
            inside.append(1)
            seen.append(len(inside))
            time.sleep(0.3)
            inside.pop()

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [1, 1, 1]


def test_the_lease_of_one_that_died_is_taken_over(bucket: str) -> None:
    place = f"{bucket}/lock.json"
    storage.write_bytes(place, b"not even JSON")
    start = time.monotonic()
    with lease(place, what="x") as held:
        assert time.monotonic() - start > 2.0
        held.check()


def test_who_lost_it_is_told_and_leaves_the_others_alone(bucket: str) -> None:
    place = f"{bucket}/lock.json"
    with lease(place, what="x") as held:
        storage.write_bytes(place, b"mine now")
        deadline = time.monotonic() + 20
        while not held.lost and time.monotonic() < deadline:
            time.sleep(0.05)
        with pytest.raises(EnvironmentProblem, match="took it over"):
            held.check()
    assert storage.read_bytes(place) == b"mine now"


def test_a_place_that_cannot_be_written_is_named(bucket: str) -> None:
    with (
        pytest.raises(StorageError, match="no-such-bucket"),
        lease("s3://no-such-bucket/lock.json", what="x"),
    ):
        raise AssertionError("unreachable")
