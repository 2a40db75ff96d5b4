"""Made-up streams: a small log of which a part is published and the rest is told live."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import strategies as st

from hemix.features.definition import DatasetDefinition
from hemix.features.examples.counter_columns import key_column
from hemix.features.live.base import Base, build_base, read_base
from hemix.features.live.columns import columns_at
from hemix.features.live.events import LiveEvent
from hemix.features.live.state import LiveState
from hemix.features.schema import TIME, label_column
from hemix.features.store.parity.compare import value_at
from hemix.features.store.per_candidate import pair_columns
from hemix.features.transform.columns import Column
from tests.features.logs import DAY, MIDNIGHT, SmallLog, comparable, logs
from tests.features.oracle import Oracle, Row

KEYS = ("request_id", "user_id", "item_id", "event_time")
DERIVED = {"actions": {"click": "click", "like": "like"}, "otherwise": "seen"}


@dataclass(frozen=True, kw_only=True)
class Stream:
    """``log`` as it is in the end; what of it was published at ``as_of``; the events that were told."""

    log: SmallLog
    as_of: int
    published: SmallLog
    events: list[LiveEvent]

    @property
    def tasks(self) -> Sequence[str]:
        return self.log.definition.tasks

    def base(self) -> Base:
        with tempfile.TemporaryDirectory() as folder:
            events = self.published.write(Path(folder) / "events")
            path = Path(folder) / "base.zip"
            build_base(
                self.log.definition,
                self.log.types,
                events=events,
                as_of=datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=self.as_of),
                out=path,
            )
            return read_base(path)

    def oracle(self, time: int) -> Oracle:
        """What is known at ``time``, and nothing of what else the log will hold."""
        base, log = self.published, self.log
        interactions, behaviors = list(base.interactions), list(base.behaviors)
        for event in self.events:
            if event.known_ms > time:
                continue
            row: Row = {
                "user_id": event.user_id,
                "item_id": event.item_id,
                "event_time": event.time_ms,
            }
            if event.labels is None:
                row |= {"action": event.action, "time_exact": True, "position": 0}
                behaviors.append(row)
            else:
                labels = {label_column(t): event.labels.get(t, 0) for t in self.tasks}
                told = {**event.context, **labels, "request_id": event.request_id}
                interactions.append({**row, **told})
        merged = one_row_a_key(interactions, self.tasks)
        if log.definition.derived_behaviors is not None:
            behaviors += derived(merged)
        return Oracle(log.definition, log.types, behaviors, merged, log.users, log.items)


def one_row_a_key(rows: list[Row], tasks: Sequence[str]) -> list[Row]:
    """Ingest's rule in plain words: rows of one key are one, with the greatest labels."""
    found: dict[tuple[object, ...], Row] = {}
    for row in rows:
        key = tuple(row[name] for name in KEYS)
        before = found.setdefault(key, dict(row))
        for task in tasks:
            name = label_column(task)
            before[name] = max(before[name], row[name])
    return list(found.values())


def derived(rows: list[Row]) -> list[Row]:
    """What :data:`DERIVED` makes of interactions."""
    return [
        {
            **{name: row[name] for name in ("user_id", "item_id", "event_time")},
            "action": "like" if row["label_like"] else "click" if row["label_click"] else "seen",
            "time_exact": True,
            "position": 0,
        }
        for row in rows
    ]


def priced(definition: DatasetDefinition) -> DatasetDefinition:
    """The definition with a pair of the user and a number of the candidate, which may be missing."""
    value = definition.model_dump(mode="json")
    pair = {"key": ["user_id", "price"], "events": ["click"], "windows": ["ever"]}
    value["counters"].append({**pair, "since_last": True})
    return DatasetDefinition.parse(value)


def derives(definition: DatasetDefinition) -> DatasetDefinition:
    """The definition with behaviours read off the interactions."""
    value = definition.model_dump(mode="json")
    return DatasetDefinition.parse({**value, "behaviors": [], "derived_behaviors": DERIVED})


@st.composite
def streams(draw: st.DrawFn, *, late: bool) -> Stream:
    """Any cut through a log; what is published may be told again; repeats, any order, split labels.

    ``late``: an event may become known long after it happened, also after the publication that does
    not hold it; else each is known when it happens.
    """
    log = draw(logs(max_rows=12, counting=True, matching=False))
    log = replace(log, definition=priced(log.definition))
    shuffle = random.Random(draw(st.integers(0, 2**16)))
    interactions = one_row_a_key(log.interactions, log.definition.tasks)
    as_of = MIDNIGHT + draw(st.sampled_from([-2 * DAY, -DAY, -1, 0, 1, 1001, DAY]))
    behaviors = log.behaviors
    if draw(st.booleans()):
        log = replace(log, definition=derives(log.definition))
        behaviors = [row for row in behaviors if not row["time_exact"]] + derived(interactions)
    log = replace(log, behaviors=behaviors, interactions=interactions)
    lag = st.sampled_from([0, 1, 1000, 3_600_000, DAY] if late else [0])

    def is_published(row: Row) -> bool:
        before = row["event_time"] < as_of
        return before and not (late and row["event_time"] >= as_of - DAY and shuffle.random() < 0.3)

    held = [row for row in interactions if is_published(row)]
    told = [row for row in interactions if row not in held]
    told += [row for row in held if row["event_time"] >= as_of - DAY and shuffle.random() < 0.5]
    events: list[LiveEvent] = []
    for row in told:
        labels = {task: row[label_column(task)] for task in log.definition.tasks}
        parts = [labels]
        if shuffle.random() < 0.5:  # the impression first, what came of it later
            parts = [dict.fromkeys(labels, 0), labels]
        for part in parts:
            events.append(_event(row, row["event_time"] + draw(lag), labels=part))
    older: list[Row] = []
    if log.definition.derived_behaviors is None:
        older = [r for r in behaviors if not r["time_exact"] or is_published(r)]
        events += [
            _event(row, row["event_time"] + draw(lag), action=row["action"])
            for row in behaviors
            if row["time_exact"] and (row not in older or row["event_time"] >= as_of - DAY)
        ]
    else:
        older = [row for row in behaviors if not row["time_exact"]] + derived(held)
    events += shuffle.sample(events, len(events) // 3)
    shuffle.shuffle(events)
    events = [replace(event, event_id=str(n)) for n, event in enumerate(events)]
    published = replace(log, interactions=held, behaviors=older)
    return Stream(log=log, as_of=as_of, published=published, events=events)


def _event(row: Row, known: int, **what: object) -> LiveEvent:
    shown = "labels" in what
    request_id = row["request_id"] if shown else ""
    return LiveEvent(
        context={name: row[name] for name in ("tab", "price")} if shown else {},
        event_id="",
        user_id=row["user_id"],
        item_id=row["item_id"],
        time_ms=row["event_time"],
        known_ms=known,
        request_id=request_id,
        **what,  # type: ignore[arg-type]
    )


def served(state: LiveState, row: Row, *, all_known: bool = False) -> Row:
    """The columns of a request of one candidate, comparable with an example's."""
    time = row["event_time"]
    known = state.known(row["user_id"], [row["item_id"]], time, all_known=all_known)
    columns = columns_at(state.log, known, time)
    found = {**columns.user, **columns.items}
    definition = state.log.definition
    halves = {counter.keys[1] for counter in definition.counters if counter.is_pair}
    asked: dict[str, Column] = {}
    price = row["price"]  # comparable rows hold the bits of a float as text
    row = {**row, "price": float.fromhex(price) if isinstance(price, str) else price}
    for name in halves:
        table = pa.table({n: pa.array([row[n]]) for n in ("item_id", *definition.context_columns)})
        times = pa.array([time], pa.int64()).cast(TIME)
        value = key_column(state.log, name, table.append_column("event_time", times))
        text = pa.types.is_string(value.type)
        if pa.types.is_floating(value.type):
            value = value.fill_null(float("nan"))  # as the feature store holds it
        asked[name] = np.array(value.to_pylist(), dtype=object if text else None)
    found |= pair_columns(definition, columns.pair_lists, asked, time)
    return comparable([{name: value_at(column, 0) for name, column in found.items()}])[0]


def expected(oracle: Oracle, row: Row, names: Sequence[str]) -> Row:
    """The same columns of the example."""
    example = comparable([oracle.example(row)])[0]
    return {name: example[name] for name in names}
