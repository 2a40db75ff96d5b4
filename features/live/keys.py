"""What one counter counts, by key: rows of the base and live ones, and sums of what is older."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints, flat, integers, present
from hemix.features.counting.counts import NEVER as NONE_YET
from hemix.features.counting.counts import Events
from hemix.features.examples.counter_columns import Counting, key_of
from hemix.features.live.acts import Acts
from hemix.features.live.base import Base
from hemix.features.live.columns import Counted
from hemix.features.live.events import Id, LiveEvent
from hemix.features.live.older import KEY, count_name, last_name
from hemix.features.live.rows import Rows
from hemix.features.parts import Counter


class ByKey:
    """Rows of one table by key: the base's in one array, the live ones a key."""

    def __init__(self, keys: pa.Array) -> None:
        there = np.flatnonzero(present(keys))
        encoded = keys.take(pa.array(there)).dictionary_encode()
        codes = encoded.indices.to_numpy().astype(np.int64)
        order = np.argsort(codes, kind="stable")
        self._order = there[order]
        edges = np.searchsorted(codes[order], np.arange(len(encoded.dictionary) + 1))
        self._places = {
            value: (int(edges[n]), int(edges[n + 1]))
            for n, value in enumerate(encoded.dictionary.to_pylist())
        }
        self._live: dict[Any, array[int]] = {}

    def append(self, row: int, key: Any) -> None:
        """Note a live row; of a missing key (None) none is kept."""
        if key is not None:
            self._live.setdefault(key, array("q")).append(row)

    def rows(self, keys: Sequence[Any]) -> tuple[Ints, Ints]:
        """The rows of some keys, and the number of each one's key among them."""
        found: list[Ints] = []
        for key in keys:
            start, end = self._places.get(key, (0, 0))
            rows = self._order[start:end]
            if (live := self._live.get(key)) is not None:
                rows = np.concatenate([rows, np.array(live, np.int64)])
            found.append(rows)
        groups = np.repeat(np.arange(len(keys)), [len(rows) for rows in found])
        return (np.concatenate(found) if found else np.zeros(0, np.int64)), groups


class Keys:
    """The events of every key of one counter that is no pair.

    Args:
        base: what a publication knew.
        counter: what is counted.
        sums: of what is older than the base's rows: of interactions, and of behaviours.
        rows: the interactions.
        acts: the behaviours.
    """

    def __init__(
        self,
        base: Base,
        counter: Counter,
        sums: tuple[pa.Table, pa.Table],
        rows: Rows,
        acts: Acts,
    ) -> None:
        self._counter, self._log = counter, base.log
        self._rows, self._acts = rows, acts
        self._of_user = counter.key == "user_id"
        self._parts = Counting.of(base.log.definition, counter)
        self._shown = ByKey(flat(key_of(base.log, counter, base.interactions)))
        self._told = ByKey(flat(key_of(base.log, counter, acts.told)))
        self._older = [_Older(table, part) for table, part in zip(sums, self._parts, strict=True)]

    def show(self, row: int, event: LiveEvent) -> None:
        """Note a new interaction under its key, that of its own time."""
        self._shown.append(row, self._key(event))

    def tell(self, row: int, event: LiveEvent) -> None:
        """Note a new behaviour under its key, that of its own time."""
        if event.action in self._counter.actions:
            self._told.append(row, self._key(event))

    def counted(
        self, user_id: Id, item_ids: Sequence[Id], time_ms: int, until: int
    ) -> tuple[Counted | None, Counted | None]:
        """The interactions and the behaviours of a request's keys that are known at ``until``."""
        asked = [user_id] if self._of_user else self._keys_at(item_ids, time_ms)
        numbers = {key: n for n, key in enumerate(dict.fromkeys(k for k in asked if k is not None))}
        queries = np.array([-1 if key is None else numbers[key] for key in asked], np.int64)
        shown = self._shown.rows(list(numbers))
        parts: list[Counted | None] = []
        for part, older in zip(self._parts, self._older, strict=True):
            if not part.counted:
                parts.append(None)
                continue
            if part.counted[0].action:
                told = self._told.rows(list(numbers))
                names = tuple(one.name for one in part.counted)
                times, groups, flags = self._acts.known_of(told, shown, names, until)
                events = Events(groups=groups, times=times, flags=flags)
            else:
                events = self._interactions(*shown, until)
            before, last_ms = older.of(asked)
            parts.append(
                Counted(events=events, queries=queries, before=before, before_last_ms=last_ms)
            )
        interactions, behaviors = parts
        return interactions, behaviors

    def _interactions(self, rows: Ints, groups: Ints, until: int) -> Events:
        seen = self._rows.known.values[rows] <= until
        if not seen.all():
            rows, groups = rows[seen], groups[seen]
        labels = self._rows.labels
        return Events(
            groups=groups,
            times=self._rows.times.values[rows],
            flags={
                one.name: None
                if one.name == "impression"
                else labels[one.name].values[rows] <= until
                for one in self._parts[0].counted
            },
        )

    def _key(self, event: LiveEvent) -> Any:
        """The key of an event: an id, or the item's attribute as of its time; None: missing."""
        if self._of_user:
            return event.user_id
        return self._keys_at([event.item_id], event.time_ms)[0]

    def _keys_at(self, item_ids: Sequence[Id], time_ms: int) -> list[Any]:
        """The key of each item as of an instant (``key_of``); None where it is missing."""
        name = self._counter.keys[0]
        if name == "item_id":
            return list(item_ids)
        value = self._log.dimension.value
        return [value(name, item_id, time_ms) for item_id in item_ids]


class _Older:
    """Sums of what is older than the base's rows."""

    def __init__(self, sums: pa.Table, part: Counting) -> None:
        self._names = [one.name for one in part.counted]
        self._place = {value: n for n, value in enumerate(sums[KEY].to_pylist())}
        columns = [name for name in sums.column_names if name != KEY]
        self._columns = {name: integers(sums[name]) for name in columns}

    def of(self, asked: Sequence[Any]) -> tuple[Mapping[str, Ints], Mapping[str, Ints]]:
        """How many of each, and when the last one was, of the keys ``asked``."""
        places = np.array([self._place.get(key, -1) for key in asked], np.int64)

        def taken(name: str, nothing: int) -> Ints:
            values = self._columns[name]
            if not len(values):
                return np.full(len(places), nothing, np.int64)
            return np.where(places >= 0, values[np.maximum(places, 0)], nothing)

        return (
            {name: taken(count_name(name), 0) for name in self._names},
            {name: taken(last_name(name), NONE_YET) for name in self._names},
        )
