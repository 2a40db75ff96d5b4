"""Behaviours that counters of one key count: those of the base, live ones, and what interactions make.

An event is a user, an item, a time (together: a slot) and an action; it counts once, however often
it was told and whatever made it. The action that an interaction makes may change with a later
label, so it is worked out of the interactions' own rows at each request.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints, flat, integers, ranks
from hemix.features.definition import DatasetDefinition
from hemix.features.live.base import Base
from hemix.features.live.events import Id, LiveEvent
from hemix.features.live.older import counted_names
from hemix.features.live.rows import ALWAYS, Column, Rows, places

NOTHING = -1
"""In the place of an action that no counter counts."""
Slot = tuple[Id, Id, int]


class Acts:
    """Told behaviours as rows, and which slot each interaction is in."""

    def __init__(self, base: Base, rows: Rows) -> None:
        definition = base.log.definition
        self._rows = rows
        self._codes = {name: code for code, name in enumerate(counted_names(definition))}
        self._making = _Making(definition, self._codes)
        shown, told = _slots(base)
        codes = np.array([self._codes[name] for name in base.acts["action"].to_pylist()], np.int64)
        self.slot_of_row = Column(shown)
        own = np.ones(len(told), np.bool_)
        if self.derives:
            made = self._made_slots(np.arange(len(shown)), ALWAYS)
            own = ~np.isin(self._identities(told, codes), made)
        self.told = base.acts.filter(pa.array(own))
        """The base's behaviours that none of its interactions makes, by user and time."""
        self.times = Column(integers(self.told["event_time"]).copy())
        self.known = Column(np.full(len(self.times.values), ALWAYS, np.int64))
        self.slots, self.codes = Column(told[own]), Column(codes[own])
        self._next = int(max(shown.max(initial=-1), told.max(initial=-1))) + 1
        self._base = (
            (places(base.interactions["user_id"]), base.interactions, self.slot_of_row),
            (places(self.told["user_id"]), self.told, self.slots),
        )
        self._slots: dict[Slot, int] = {}
        self._live: dict[tuple[int, int], int] = {}

    @property
    def counts(self) -> bool:
        """True when any counter of one key counts actions."""
        return bool(self._codes)

    @property
    def derives(self) -> bool:
        """True when interactions make behaviours that are counted."""
        return self.counts and self._making.makes

    def tell(self, event: LiveEvent) -> int | None:
        """Note a behaviour; its row when it is a new one that counters may count."""
        code = self._codes.get(event.action or "")
        if code is None:
            return None
        slot = self._slot(event)
        row = self._live.get((slot, code))
        if row is not None:
            self.known.values[row] = min(event.known_ms, int(self.known.values[row]))
            return None
        self._live[slot, code] = row = self.times.size
        for column, value in (
            (self.times, event.time_ms),
            (self.known, event.known_ms),
            (self.slots, slot),
            (self.codes, code),
        ):
            column.append(value)
        return row

    def show(self, event: LiveEvent) -> None:
        """Note the slot of a new interaction, the next row of the interactions."""
        if self.counts:
            self.slot_of_row.append(self._slot(event))

    def known_of(
        self, told: tuple[Ints, Ints], shown: tuple[Ints, Ints], names: tuple[str, ...], until: int
    ) -> tuple[Ints, Ints, Mapping[str, np.ndarray]]:
        """The events of the actions ``names`` that are known at ``until``, each once.

        Args:
            told: rows of told behaviours, and the group of each.
            shown: rows of interactions, and the group of each.
            names: which actions.
            until: what became known later is left out.

        Returns:
            The times ``[n]`` and groups ``[n]`` of the events, and which of them each action is.
        """
        rows, groups = told
        seen = self.known.values[rows] <= until
        rows, groups = rows[seen], groups[seen]
        times, slots, codes = (c.values[rows] for c in (self.times, self.slots, self.codes))
        if self.derives:
            rows, others = shown
            times = np.concatenate([times, self._rows.times.values[rows]])
            slots = np.concatenate([slots, self.slot_of_row.values[rows]])
            codes = np.concatenate([codes, self._making.codes(self._rows, rows, until)])
            groups = np.concatenate([groups, others])
        wanted = np.flatnonzero(np.isin(codes, [self._codes[name] for name in names]))
        _, first = np.unique(self._identities(slots[wanted], codes[wanted]), return_index=True)
        kept = wanted[first]
        flags = {name: codes[kept] == self._codes[name] for name in names}
        return times[kept], groups[kept], flags

    def _made_slots(self, rows: Ints, until: int) -> Ints:
        codes = self._making.codes(self._rows, rows, until)
        made = codes != NOTHING
        return self._identities(self.slot_of_row.values[rows[made]], codes[made])

    def _identities(self, slots: Ints, codes: Ints) -> Ints:
        return slots * len(self._codes) + codes

    def _slot(self, event: LiveEvent) -> int:
        key = (event.user_id, event.item_id, event.time_ms)
        found = self._slots.get(key)
        if found is None:
            found = self._slot_in_base(event)
            if found is None:
                found, self._next = self._next, self._next + 1
            self._slots[key] = found
        return found

    def _slot_in_base(self, event: LiveEvent) -> int | None:
        for spans, table, slots in self._base:
            start, end = spans.get(event.user_id, (0, 0))
            times = integers(table["event_time"].slice(start, end - start))
            first, last = np.searchsorted(times, (event.time_ms, event.time_ms + 1)) + start
            items = table["item_id"]
            for row in range(int(first), int(last)):
                if items[row].as_py() == event.item_id:
                    return int(slots.values[row])
        return None


class _Making:
    """The action that an interaction is known for: that of its last positive task in order."""

    def __init__(self, definition: DatasetDefinition, codes: Mapping[str, int]) -> None:
        derived = definition.derived_behaviors
        self._otherwise = NOTHING
        self._actions: dict[str, int] = {}
        if derived is not None:
            self._actions = {t: codes.get(a, NOTHING) for t, a in derived.actions.items()}
            self._otherwise = codes.get(derived.otherwise or "", NOTHING)
        self.makes = any(code != NOTHING for code in (self._otherwise, *self._actions.values()))

    def codes(self, rows: Rows, chosen: Ints, until: int) -> Ints:
        """The action's code of each of the ``chosen`` rows at ``until``."""
        found = np.full(len(chosen), self._otherwise, np.int64)
        for task, code in self._actions.items():
            found = np.where(rows.labels[task].values[chosen] <= until, code, found)
        return np.where(rows.known.values[chosen] <= until, found, NOTHING)


def _slots(base: Base) -> tuple[Ints, Ints]:
    """The slot of each of the base's interactions, and of its behaviours; none where none count."""
    shown, told = base.interactions, base.acts
    if not counted_names(base.log.definition):
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    parts = [
        np.concatenate(ranks([flat(shown[name]), flat(told[name])])[0])
        for name in ("user_id", "item_id")
    ]
    parts.append(np.concatenate([integers(t["event_time"]) for t in (shown, told)]))
    order = np.lexsort(parts)
    new = np.zeros(len(order), np.bool_)
    for part in parts:
        new[1:] |= np.diff(part[order]) != 0
    slots = np.empty(len(order), np.int64)
    slots[order] = np.cumsum(new)
    return slots[: shown.num_rows], slots[shown.num_rows :]
