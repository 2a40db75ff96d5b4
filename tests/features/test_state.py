"""The state of an instant holds exactly what an example of that instant would."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hemix.features.definition import DatasetDefinition
from hemix.features.examples.as_of import build_state
from hemix.features.schema import INEXACT_GAP, item_state_schema, user_state_schema
from hemix.features.store.per_candidate import last_times, pair_columns, stored_lists
from hemix.features.store.rows import OnlineRows
from tests.features.logs import DAY, MIDNIGHT, SPLITS, SmallLog, comparable, logs
from tests.features.oracle import Row, split

CHEAP = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
NAMES = ("item_id", "author_id", "tag", "action", "gap_s")


def state(log: SmallLog, time: int) -> tuple[dict[object, Row], dict[object, Row]]:
    with tempfile.TemporaryDirectory() as folder:
        events = log.write(Path(folder) / "events")
        as_of = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=time)
        out = Path(folder) / "state"
        counts = build_state(log.definition, events, as_of, out)
        users, items = pq.read_table(out / "users.parquet"), pq.read_table(out / "items.parquet")
    assert counts == (users.num_rows, items.num_rows)
    assert users.schema.equals(user_state_schema(log.definition, log.types))
    assert items.schema.equals(item_state_schema(log.definition, log.types))
    by_user = {row["user_id"]: row for row in comparable(users.to_pylist())}
    by_item = {row["item_id"]: row for row in comparable(items.to_pylist())}
    assert list(by_user) == sorted(by_user)
    assert list(by_item) == sorted(by_item)
    assert all(row["as_of"] == time for row in (*by_user.values(), *by_item.values()))
    return by_user, by_item


def cut(row: Row, definition: DatasetDefinition, time: int) -> Row:
    """The sequences of an instant, from a user's history."""
    columns = [row[f"history_{name}"] for name in NAMES[:-1]]
    events = list(
        zip(*columns, row["history_event_time_ms"], row["history_time_exact"], strict=True)
    )
    parts = split(definition.sequences, events, time, lambda event: int(event[-2]))
    result: Row = {}
    for sequence, kept in parts.items():
        for place, name in enumerate(NAMES[:-1]):
            result[f"{sequence}_{name}"] = [event[place] for event in kept]
        result[f"{sequence}_gap_s"] = [
            (time - event[-2]) // 1000 if event[-1] else INEXACT_GAP for event in kept
        ]
    return result


def probes(log: SmallLog, time: int, users: list[object], items: list[object]) -> list[Row]:
    """What the oracle says of an interaction of each user and of each item at ``time``."""
    count = max(len(users), len(items))
    blank = {**log.interactions[0], "event_time": time}
    rows = [
        {**blank, "user_id": users[n % len(users)], "item_id": items[n % len(items)]}
        for n in range(count)
    ]
    probed = replace(log, interactions=[*log.interactions, *rows]).oracle()
    return comparable([probed.example(row) for row in rows])


def counters_of(log: SmallLog, row: Row, user: Row, item: Row, time: int) -> Row:
    """All counters of a request at ``time``, from the state of its user and of its item."""
    found = pairs_of_request(log, row, user, time)
    for counter in log.definition.counters:
        if not counter.is_pair:
            held = user if counter.by_user else item
            for what in counter.counted(log.definition.tasks):
                found |= {
                    what.column(window): held[what.column(window)] for window in counter.windows
                }
            found |= {
                name: int(values[0])
                for name, values in last_times(
                    log.definition, online(held), by_user=counter.by_user, time_ms=time
                ).items()
            }
    return found


def pairs_of_request(log: SmallLog, row: Row, user: Row, time: int) -> Row:
    halves = {counter.keys[1] for counter in log.definition.counters if counter.is_pair}
    asked = {name: values([row[name]]) for name in halves}
    lists = stored_lists(log.definition, online(user))
    columns = pair_columns(log.definition, lists, asked, time)
    return {name: int(counts[0]) for name, counts in columns.items()}


def online(row: Row) -> OnlineRows:
    """A row of the state as it comes out of the online store."""
    columns = {}
    for name, value in row.items():
        columns[name] = np.empty(1, object)
        columns[name][0] = values(value) if isinstance(value, list) else value
        if not isinstance(value, list):
            columns[name] = values([value])
    return OnlineRows(keys=np.zeros(1, np.int64), known=np.ones(1, bool), columns=columns)


def values(listed: list[Any]) -> np.ndarray:
    text = bool(listed) and isinstance(listed[0], str)
    return np.array(listed, dtype=object if text else np.int64)


@pytest.mark.slow
@pytest.mark.parametrize("rule", SPLITS)
@settings(CHEAP, max_examples=20)
@given(data=st.data(), offset=st.sampled_from([-DAY, -1, 0, 1, 1001, 3_600_000, DAY, 4 * DAY]))
def test_equals_an_example_of_the_instant(
    rule: tuple[str | int, bool], data: st.DataObject, offset: int
) -> None:
    log = data.draw(logs(splits=[rule], counting=True))
    time = MIDNIGHT + offset
    users, items = state(log, time)
    limit = time - log.definition.sequences.delay_s * 1000
    for table, key, found in ((log.users, "user_id", users), (log.items, "item_id", items)):
        seen = {row[key] for row in log.behaviors + log.interactions if row["event_time"] < limit}
        assert set(found) == seen | {row[key] for row in table if row["valid_from"] <= time}
    if not users or not items:
        return
    for row in probes(log, time, list(users), list(items)):
        user, item = users[row["user_id"]], items[row["item_id"]]
        served = counters_of(log, row, user, item, time)
        assert {name: row[name] for name in log.definition.counter_columns} == served
        sequences = cut(user, log.definition, time)
        assert {name: row[name] for name in sequences} == sequences


@pytest.mark.slow
@pytest.mark.parametrize("rule", SPLITS)
@settings(CHEAP, max_examples=20)
@given(data=st.data(), later=st.sampled_from([1, 1000, 2001, 3_600_000, DAY, 3 * DAY]))
def test_serves_later_times_while_nothing_happens(
    rule: tuple[str | int, bool], data: st.DataObject, later: int
) -> None:
    log = data.draw(logs(splits=[rule], counting=True))
    time = MIDNIGHT + 2000
    limit = time - log.definition.sequences.delay_s * 1000
    quiet = replace(
        log,
        behaviors=[row for row in log.behaviors if row["event_time"] < limit],
        interactions=[row for row in log.interactions if row["event_time"] < limit],
    )
    users, items = state(quiet, time)
    if not users or not quiet.interactions:
        return
    for row in probes(
        quiet, time + later, list(users), list(items) or [quiet.interactions[0]["item_id"]]
    ):
        user = users[row["user_id"]]
        sequences = cut(user, log.definition, time + later)
        assert {name: row[name] for name in sequences} == sequences
        pairs = pairs_of_request(log, row, user, time + later)
        assert {name: row[name] for name in pairs} == pairs


@pytest.mark.slow
@given(log=logs(splits=[(window, True) for window, _ in SPLITS] + [("last", False)]))
@CHEAP
def test_holds_no_more_than_both_sequences(log: SmallLog) -> None:
    time, rule = MIDNIGHT + 2000, log.definition.sequences
    for row in state(log, time)[0].values():
        sequences, held = cut(row, log.definition, time), row["history_item_id"]
        lengths = [len(sequences[f"{name}_item_id"]) for name in ("global", "realtime")]
        assert len(held) == (max(lengths) if rule.overlap else sum(lengths))


def test_state_of_the_real_log(
    small_definition: DatasetDefinition, small_events: Path, tmp_path: Path
) -> None:
    as_of = datetime(2022, 4, 29, tzinfo=UTC)
    users, items = build_state(small_definition, small_events, as_of, tmp_path / "state")
    assert users >= 400
    assert items > 1000
    table = pq.read_table(tmp_path / "state" / "users.parquet")
    assert max(len(row) for row in table["history_item_id"].to_pylist()) >= 50
