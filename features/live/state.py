"""Base and live events in memory, by user and by counter key, ready to be asked for any instant.

Every event is kept with when it happened and when it became known; what a request of an instant may
see is decided when it asks. An interaction is one row whatever arrived of it how often, a later
label included (ingest's rule: of rows that share request, user, item and time the greatest label).
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hemix.features.arrays.dense_ranks import flat, integers
from hemix.features.live.acts import Acts
from hemix.features.live.base import Base
from hemix.features.live.columns import Known
from hemix.features.live.events import Id, LiveEvent
from hemix.features.live.identity import RequestIds
from hemix.features.live.keys import Keys
from hemix.features.live.pair_lists import shown_columns, shown_table
from hemix.features.live.rows import ALWAYS, NEVER, Rows, places
from hemix.features.schema import TIME, behaviors_schema, label_column, pairs_of

Identity = tuple[str, Id, Id, int]


class LiveState:
    """What is known of a definition's users and keys. Thread-safe."""

    def __init__(self, base: Base) -> None:
        self.base, self.log = base, base.log
        definition = base.log.definition
        self._lock = threading.Lock()
        table = base.interactions
        self._rows = Rows(table, definition.tasks)
        self._request_ids = RequestIds.of(definition)
        self._base_users = places(table["user_id"])
        self._base_items = flat(table["item_id"])
        self._base_requests = flat(table["request_id"])
        self._identities: dict[Identity, int] = {}
        self._touched: dict[Id, dict[int, tuple[Id, int]]] = {}
        self._acts = Acts(base, self._rows)
        self._counters = [
            None if counter.is_pair else Keys(base, counter, sums, self._rows, self._acts)
            for counter, sums in zip(definition.counters, base.sums, strict=True)
        ]
        self._counts_shown = bool(pairs_of(definition, action=False))
        self._shown_users = places(base.shown["user_id"])
        self._contexts: dict[int, dict[str, Any]] = {}
        self._behaviors = base.behaviors
        self._behavior_users = places(base.behaviors["user_id"])
        self._live_behaviors: dict[Id, dict[tuple[Id, int, str], int]] = {}
        self.events = 0
        """Live events that were taken in."""
        self.too_old = 0
        """Live events of before the base's horizon: only a publication can count them."""
        self.newest_known_ms = ALWAYS

    def add(self, events: Sequence[LiveEvent]) -> None:
        """Take events in; one that is there already changes nothing."""
        with self._lock:
            for event in events:
                if event.time_ms < self.base.horizon_ms:
                    self.too_old += 1
                    continue
                self.events += 1
                self.newest_known_ms = max(self.newest_known_ms, event.known_ms)
                if event.labels is None:
                    self._behavior(event)
                else:
                    self._interaction(event)

    def known(self, user_id: Id, item_ids: Sequence[Id], time_ms: int, *, all_known: bool) -> Known:
        """What a request at ``time_ms`` may see.

        Args:
            user_id: who asks.
            item_ids: the candidates.
            time_ms: the request's time, epoch milliseconds.
            all_known: everything that is here is known (the request is of now); else only what
                became known at ``time_ms`` or before.
        """
        until = NEVER - 1 if all_known else time_ms
        with self._lock:
            behaviors = self._behaviors_of(user_id, until)
            counted = [
                None if keys is None else keys.counted(user_id, item_ids, time_ms, until)
                for keys in self._counters
            ]
            shown = self._shown_of(user_id, until) if self._counts_shown else None
        return Known(behaviors=behaviors, counted=counted, shown=shown)

    # ---- taking in ------------------------------------------------------------------------------

    def _behavior(self, event: LiveEvent) -> None:
        assert event.action is not None
        mine = self._live_behaviors.setdefault(event.user_id, {})
        identity = (event.item_id, event.time_ms, event.action)
        mine[identity] = min(event.known_ms, mine.get(identity, NEVER))
        if (row := self._acts.tell(event)) is not None:
            for keys in self._counters:
                if keys is not None:
                    keys.tell(row, event)

    def _interaction(self, event: LiveEvent) -> None:
        request_id = self._request_ids.of_event(event)
        identity = (request_id, event.user_id, event.item_id, event.time_ms)
        row = self._identities.get(identity)
        if row is None:
            row = self._in_base(identity)
        if row is None:
            row = self._rows.append(event.time_ms)
            self._acts.show(event)
            for keys in self._counters:
                if keys is not None:
                    keys.show(row, event)
        self._identities[identity] = row
        touched = self._touched.setdefault(event.user_id, {})
        touched[row] = (event.item_id, event.time_ms)
        self._rows.learn(row, event)
        if self._counts_shown and row >= self._rows.base:
            self._contexts.setdefault(row, {}).update(event.context)

    def _in_base(self, identity: Identity) -> int | None:
        """The base's row of an interaction. Its siblings (other requests) become touched as well."""
        request_id, user_id, item_id, time_ms = identity
        start, end = self._base_users.get(user_id, (0, 0))
        times = self._rows.times.values[start:end]
        first, last = np.searchsorted(times, (time_ms, time_ms + 1)) + start
        found = None
        for row in range(int(first), int(last)):
            if self._base_items[row].as_py() == item_id:
                self._touched.setdefault(user_id, {})[row] = (item_id, time_ms)
                if self._base_requests[row].as_py() == request_id:
                    found = row
        return found

    # ---- asking ---------------------------------------------------------------------------------

    def _behaviors_of(self, user_id: Id, until: int) -> pa.Table:
        """The base's behaviours of a user, those that came since, those that interactions make."""
        start, end = self._behavior_users.get(user_id, (0, 0))
        held = self._behaviors.slice(start, end - start)
        added = [
            identity
            for identity, known in self._live_behaviors.get(user_id, {}).items()
            if known <= until
        ]
        gone: set[tuple[Id, int, str]] = set()
        if self.log.definition.derived_behaviors is not None:
            for row, (item_id, time_ms) in self._touched.get(user_id, {}).items():
                before = self._action(row, ALWAYS)
                action = self._action(row, until)
                if before is not None and row < self._rows.base:
                    gone.add((item_id, time_ms, before))
                if action is not None:
                    added.append((item_id, time_ms, action))
        if gone:
            held = held.filter(pa.array(_stays(held, gone), pa.bool_()))
        if not added:
            return held
        schema = behaviors_schema(self.log.types)
        items, times, actions = zip(*added, strict=True)
        return pa.concat_tables(
            [
                held,
                pa.table(
                    [
                        pa.array([user_id] * len(added), self.log.types.user_id),
                        pa.array(items, self.log.types.item_id),
                        pa.array(times, pa.int64()).cast(TIME),
                        pa.array(actions, pa.string()),
                        pa.array([True] * len(added)),
                        pa.array([0] * len(added), pa.int32()),
                    ],
                    schema=schema,
                ),
            ]
        ).combine_chunks()

    def _shown_of(self, user_id: Id, until: int) -> pa.Table:
        """A user's known interactions: of before the base's horizon, of the base, and live ones."""
        start, end = self._shown_users.get(user_id, (0, 0))
        names = shown_columns(self.log.definition)
        older = self.base.shown.slice(start, end - start).select(names)
        start, end = self._base_users.get(user_id, (0, 0))
        held = np.arange(start, end)
        held = held[self._rows.known.values[held] <= until]
        touched = self._touched.get(user_id, {})
        live = [
            row
            for row in touched
            if row >= self._rows.base and self._rows.known.values[row] <= until
        ]
        tables = [older]
        for rows in (held, np.array(live, np.int64)):
            labels = {
                task: (column.values[rows] <= until).astype(np.int64)
                for task, column in self._rows.labels.items()
            }
            if rows is held:
                table = self.base.interactions.take(pa.array(rows)).select(names)
                for task, values in labels.items():  # a label of a row that was there may be new
                    place = names.index(label_column(task))
                    table = table.set_column(place, names[place], pa.array(values, pa.int8()))
            else:
                table = shown_table(
                    self.log,
                    items=[touched[row][0] for row in live],
                    times=self._rows.times.values[rows],
                    labels=labels,
                    contexts=[self._contexts.get(row, {}) for row in live],
                )
            tables.append(table.cast(older.schema))
        return pa.concat_tables(tables).combine_chunks()

    def _action(self, row: int, until: int) -> str | None:
        """The action that an interaction is known for: that of its last positive task in order."""
        derived = self.log.definition.derived_behaviors
        assert derived is not None
        if self._rows.known.values[row] > until:
            return None
        found = derived.otherwise
        for task, action in derived.actions.items():
            if self._rows.labels[task].values[row] <= until:
                found = action
        return found


def _stays(held: pa.Table, gone: set[tuple[Id, int, str]]) -> list[bool]:
    """False for exact behaviours that an interaction no longer makes."""
    columns = (
        held["item_id"].to_pylist(),
        integers(held["event_time"]).tolist(),
        held["action"].to_pylist(),
        held["time_exact"].to_pylist(),
    )
    return [
        not (exact and (item, time, action) in gone)
        for item, time, action, exact in zip(*columns, strict=True)
    ]
