"""Events from Kafka, against the client's own mock cluster (real protocol, on loopback)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from hemix.errors import HemixError, StorageError
from hemix.features.live.stores.base import EventsUnavailable
from hemix.serving.events import kafka
from hemix.serving.events.contract import EventContract
from hemix.serving.events.desk import EventDesk
from hemix.serving.events.kafka import KafkaConfig, KafkaEvents, OffsetsGone
from tests.serving.events.test_event_desk import GOOD, Opened, contract, dead, opened, published

pytestmark = pytest.mark.services

__all__ = ["contract", "opened", "published"]
PARTITIONS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Producer, str]]:
    producer = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "mock"})
    (broker,) = producer.list_topics(timeout=30).brokers.values()
    yield producer, f"{broker.host}:{broker.port}"
    producer.flush(5)


def send(
    producer: Producer, topic: str, values: Sequence[Any], partition: int | None = None
) -> None:
    for number, value in enumerate(values):
        data = value if isinstance(value, bytes) else json.dumps(value).encode()
        place = number % PARTITIONS if partition is None else partition
        producer.produce(topic, data, partition=place)
    assert producer.flush(30) == 0


def good(name: str) -> dict[str, Any]:
    return {**GOOD, "event_id": name}


def committed(brokers: str, topic: str, group: str) -> dict[int, int]:
    asker = Consumer({"bootstrap.servers": brokers, "group.id": group})
    try:
        places = [TopicPartition(topic, n) for n in range(PARTITIONS)]
        return {p.partition: p.offset for p in asker.committed(places, timeout=30) if p.offset >= 0}
    finally:
        asker.close()


class Reading:
    """A consumer on a thread of its own, until it was idle for a while or failed."""

    def __init__(self, brokers: str, topic: str, desk: EventDesk, contract: EventContract) -> None:
        config = KafkaConfig(
            brokers=brokers,
            topics=(topic,),
            group=topic,
            options=(("session.timeout.ms", 6_000), ("heartbeat.interval.ms", 500)),
        )
        self.stop, self.error = threading.Event(), None
        self._reader = KafkaEvents(config, desk, contract)
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        try:
            self._reader.run(self.stop)
        except HemixError as error:
            self.error: HemixError | None = error

    def end(self) -> HemixError | None:
        self.stop.set()
        self.thread.join(60)
        assert not self.thread.is_alive()
        return self.error


def until(condition: Any, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_offsets_advance_when_events_and_dead_letters_are_kept(
    cluster: tuple[Producer, str],
    opened: Opened,
    contract: EventContract,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    producer, brokers = cluster
    desk, topic = opened(), "kept"
    deep = b"[" * 900 + b"]" * 900  # readable, and too deep to be written out again
    bad = [{"event_id": "bad"}, deep, b"[" * 100_000]
    send(producer, topic, [good("a"), b"\xff no json", good("b"), *bad], partition=0)
    (tmp_path / "dead").write_text("a file where the folder should be")
    monkeypatch.setattr(kafka, "_GIVE_UP_S", 0.5)
    reading = Reading(brokers, topic, desk, contract)
    until(lambda: reading.error)
    assert isinstance(reading.end(), StorageError)
    assert committed(brokers, topic, topic) == {}
    assert desk.store.size() == 0
    (tmp_path / "dead").unlink()
    for _ in range(2):  # the second finds nothing new
        reading = Reading(brokers, topic, desk, contract)
        until(lambda: committed(brokers, topic, topic).get(0) == 6)
        assert reading.end() is None
    assert desk.store.size() == 2
    letters = dead(tmp_path / "dead")
    assert [letter["source"] for letter in letters] == [f"kept[0]@{n}" for n in (1, 3, 4, 5)]
    assert letters[0]["event"] == "\\xff no json"
    assert letters[2]["event"] == deep.decode()


def test_a_handover_loses_and_doubles_nothing(
    cluster: tuple[Producer, str], opened: Opened, contract: EventContract
) -> None:
    producer, brokers = cluster
    topic, desk = "shared", opened()
    send(producer, topic, [good(str(n)) for n in range(200)])
    first = Reading(brokers, topic, desk, contract)
    until(lambda: desk.store.size() == 200)
    second = Reading(brokers, topic, opened(), contract)
    send(producer, topic, [good(str(n)) for n in range(150, 400)])
    until(lambda: desk.store.size() == 400)
    assert first.end() is None
    send(producer, topic, [good(str(n)) for n in range(400, 440)])
    until(lambda: sum(committed(brokers, topic, topic).values()) == 490)
    assert second.end() is None
    assert desk.store.size() == 440


def test_an_offset_that_is_gone_is_an_alarm_and_a_stop(
    cluster: tuple[Producer, str], opened: Opened, contract: EventContract
) -> None:
    producer, brokers = cluster
    topic = "recreated"
    send(producer, topic, [good(f"n{n}") for n in range(10)], partition=0)
    setter = Consumer({"bootstrap.servers": brokers, "group.id": topic})
    setter.commit(offsets=[TopicPartition(topic, 0, 1_000)], asynchronous=False)
    setter.close()
    reading = Reading(brokers, topic, opened(), contract)
    until(lambda: reading.error)
    error = reading.end()
    assert isinstance(error, OffsetsGone)
    assert "recreated[0]" in str(error)
    assert committed(brokers, topic, topic) == {0: 1_000}


def test_a_store_that_may_lose_events_is_refused(
    cluster: tuple[Producer, str], opened: Opened, contract: EventContract
) -> None:
    desk = opened()
    desk.store.durable = False  # type: ignore[misc]
    config = KafkaConfig(brokers=cluster[1], topics=("x",))
    with pytest.raises(EventsUnavailable, match="appendfsync"):
        KafkaEvents(config, desk, contract)
