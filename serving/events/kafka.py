"""Live events from Kafka topics: an offset advances when what stands before it is kept.

Each message is one event as ``POST /v1/events`` takes it, in JSON. A batch is checked, its events
stored and its refused messages written as dead letters, and only then its offsets are committed, from
the thread that polls: when a partition is taken away nothing of it is under way. What is read twice
counts once, by ``event_id``. No offset is ever skipped: a partition without a committed one begins at
its start, and one whose offset the broker no longer has stops the consumer.
"""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from hemix.errors import EnvironmentProblem, HemixError
from hemix.features.live.stores.base import EventsUnavailable
from hemix.serving.events.contract import EventContract
from hemix.serving.events.desk import LEVELS, MAX_EVENTS, EventDesk
from hemix.serving.messages.echo import is_deeper
from hemix.serving.metrics import KAFKA_MESSAGES

logger = logging.getLogger("hemix.serving")

_POLL_S = 0.2
_RETRY_S = 1.0
_GIVE_UP_S = 120.0
_LOST = {
    KafkaError.ILLEGAL_GENERATION,
    KafkaError.UNKNOWN_MEMBER_ID,
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.FENCED_INSTANCE_ID,
    KafkaError._STATE,
}


@dataclass(frozen=True, kw_only=True)
class KafkaConfig:
    """``options`` are the client's own (librdkafka's names), such as those of security."""

    brokers: str
    topics: tuple[str, ...]
    group: str = "hemix"
    options: tuple[tuple[str, str | int], ...] = ()


class OffsetsGone(HemixError):
    """The group's offset is not on the broker any more: events may be lost, a person must decide."""

    exit_code = 3
    http_status = 500


class KafkaEvents:
    """Reads topics into a desk until told to stop.

    Raises:
        EventsUnavailable: the store may lose what it takes; an offset could not be trusted.
    """

    def __init__(self, config: KafkaConfig, desk: EventDesk, contract: EventContract) -> None:
        if not desk.store.durable:
            raise EventsUnavailable(
                "kafka: the store of live events may lose what it takes; offsets would be committed"
                " for events that are gone.",
                hint="Set redis to appendonly yes and appendfsync always.",
            )
        self._desk, self._contract, self._config = desk, contract, config
        self._consumer = Consumer(
            {
                "client.id": "hemix",
                **dict(config.options),
                "bootstrap.servers": config.brokers,
                "group.id": config.group,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "error",
                "partition.assignment.strategy": "range",
            }
        )

    def run(self, stop: threading.Event, *, idle: Callable[[], None] = lambda: None) -> None:
        """Follow the topics; ``idle`` is called whenever nothing was there.

        Raises:
            OffsetsGone: a committed offset is out of the range that the broker holds.
            HemixError: events or dead letters could not be kept for two minutes; no offset advanced.
            EnvironmentProblem: the brokers refuse the client.
        """
        self._consumer.subscribe(list(self._config.topics), on_assign=self._assigned)
        try:
            while not stop.is_set():
                messages = self._good(self._consumer.consume(MAX_EVENTS, _POLL_S))
                if not messages:
                    idle()
                    continue
                self._keep(messages, stop)
                self._commit(messages)
        finally:
            self._consumer.close()

    def _assigned(self, consumer: Any, partitions: list[TopicPartition]) -> None:
        """Begin where the group is; a partition that it has never read is read from its start."""
        for partition in consumer.committed(partitions, timeout=30):
            if partition.offset < 0:
                partition.offset = OFFSET_BEGINNING
            for mine in partitions:
                if (mine.topic, mine.partition) == (partition.topic, partition.partition):
                    mine.offset = partition.offset
        consumer.assign(partitions)

    def _good(self, messages: Sequence[Message]) -> list[Message]:
        found = []
        for message in messages:
            error = message.error()
            if error is None:
                found.append(message)
            elif error.code() in (KafkaError._AUTO_OFFSET_RESET, KafkaError.OFFSET_OUT_OF_RANGE):
                KAFKA_MESSAGES.labels("offset_gone").inc()
                raise OffsetsGone(
                    f"kafka: {message.topic()}[{message.partition()}]: the offset of group"
                    f" {self._config.group} is not on the broker ({error.str()}).",
                    hint="Messages were deleted or the topic was made anew. Set the group's offsets by"
                    " hand; events that were read before count once.",
                )
            elif error.fatal() or error.code() in (
                KafkaError._AUTHENTICATION,
                KafkaError.TOPIC_AUTHORIZATION_FAILED,
                KafkaError.GROUP_AUTHORIZATION_FAILED,
            ):
                raise EnvironmentProblem(f"kafka: {error.str()}.", hint="See --option.")
            elif error.code() != KafkaError._PARTITION_EOF:
                logger.warning("kafka: %s", error.str())
        return found

    def _keep(self, messages: Sequence[Message], stop: threading.Event) -> None:
        """Until events and dead letters are on a disk; nothing is polled or committed meanwhile."""
        values = [(_value(message), _source(message)) for message in messages]
        begun = time.monotonic()
        while True:
            try:
                results = self._desk.take_all(self._contract, values)
            except HemixError as error:
                if stop.is_set() or time.monotonic() > begun + _GIVE_UP_S:
                    raise
                logger.warning("kafka: not kept yet, trying again: %s", error)
                stop.wait(_RETRY_S)
            else:
                for result in results.results:
                    KAFKA_MESSAGES.labels(result.status).inc()
                return

    def _commit(self, messages: Sequence[Message]) -> None:
        last: dict[tuple[str, int], int] = {}
        for message in messages:
            place = (str(message.topic()), int(message.partition() or 0))
            last[place] = max(last.get(place, 0), int(message.offset() or 0) + 1)
        offsets = [TopicPartition(*place, offset) for place, offset in last.items()]
        try:
            self._consumer.commit(offsets=offsets, asynchronous=False)
        except KafkaException as error:
            if error.args[0].code() not in _LOST:
                raise EventsUnavailable(
                    f"kafka: offsets were not committed ({error.args[0].str()}).",
                    hint="Start again: what is read twice counts once.",
                ) from error
            logger.warning("kafka: another consumer has these partitions now; it reads them again.")


def _value(message: Message) -> Any:
    """The event of a message; text that is no JSON object is refused as it stands."""
    data = message.value()
    if data is None:
        return None
    text = data.decode("utf-8", "backslashreplace") if isinstance(data, bytes) else str(data)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if is_deeper(found, LEVELS) else found


def _source(message: Message) -> str:
    return f"{message.topic()}[{message.partition()}]@{message.offset()}"
