"""Live and published rows side by side in arrays that grow: when each happened and when it became known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints, flat, integers
from hemix.features.live.events import LiveEvent
from hemix.features.schema import label_column

ALWAYS, NEVER = -(2**63), 2**63 - 1
"""When what the base holds became known, and what has not happened."""


class Column:
    """int64 values that grow."""

    def __init__(self, values: Ints) -> None:
        self._data = values
        self.size = len(values)

    @property
    def values(self) -> Ints:
        return self._data[: self.size]

    def append(self, value: int) -> None:
        if self.size == len(self._data):
            grown = np.empty(max(1024, self.size * 3 // 2), np.int64)
            grown[: self.size] = self._data
            self._data = grown
        self._data[self.size] = value
        self.size += 1


class Rows:
    """Interactions: when they happened, when they became known, when each label became known as 1."""

    def __init__(self, table: pa.Table, tasks: Sequence[str]) -> None:
        self.base = table.num_rows
        self.times = Column(integers(table["event_time"]).copy())
        self.known = Column(np.full(self.base, ALWAYS, np.int64))
        self.labels: dict[str, Column] = {}
        for task in tasks:
            positive = flat(table[label_column(task)]).to_numpy() == 1
            self.labels[task] = Column(np.where(positive, ALWAYS, NEVER).astype(np.int64))

    def append(self, time_ms: int) -> int:
        """A new interaction, of which nothing is known yet; its row."""
        self.times.append(time_ms)
        for column in (self.known, *self.labels.values()):
            column.append(NEVER)
        return self.times.size - 1

    def learn(self, row: int, event: LiveEvent) -> None:
        """What an event says of its interaction."""
        assert event.labels is not None
        self.known.values[row] = min(event.known_ms, int(self.known.values[row]))
        for task, value in event.labels.items():
            if value == 1 and task in self.labels:
                label = self.labels[task].values
                label[row] = min(event.known_ms, int(label[row]))


def places(column: pa.Array | pa.ChunkedArray) -> dict[Any, tuple[int, int]]:
    """Value -> first row and end of its rows; equal values stand together."""
    encoded = flat(column).dictionary_encode()
    codes = encoded.indices.to_numpy()
    starts = np.flatnonzero(np.diff(codes, prepend=-1)) if len(codes) else np.zeros(0, np.int64)
    ends = [*starts[1:].tolist(), len(codes)]
    values = encoded.dictionary.to_pylist()
    return {
        values[codes[start]]: (int(start), int(end))
        for start, end in zip(starts.tolist(), ends, strict=False)
    }
