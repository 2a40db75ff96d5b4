"""Batches: the columns of a :class:`FeatureSpec` as tensors.

Axes: ``B`` rows, ``C`` columns of a sequence, ``T`` events of all rows, ``L`` of the longest row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from hemix.errors import DataError
from hemix.spec import FeatureSpec, SequenceFeature, Side

Column = np.ndarray | tuple[np.ndarray, np.ndarray]
"""One value a row, or ``(values [T], offsets int64 [B + 1])`` for a list column."""

SIDES: tuple[Side, ...] = ("user", "context", "item")


@dataclass(frozen=True, kw_only=True)
class Jagged:
    """A sequence's parallel lists of ids without padding.

    Row ``b`` of column ``c`` is ``values[c, offsets[b]:offsets[b + 1]]``. ``values`` int32
    ``[C, T]``, ``offsets`` int64 ``[B + 1]`` (starting at 0). ``longest``: of the whole batch, when
    these rows are a part of one; all parts of a batch are padded alike.
    """

    values: Tensor
    offsets: Tensor
    longest: int = 0

    @property
    def lengths(self) -> Tensor:
        """int64 ``[B]``."""
        return self.offsets.diff()

    def padded(self, length: int | None = None) -> tuple[Tensor, Tensor]:
        """Ids ``[C, B, L]``, 0 where nothing stands, and the mask ``[B, L]`` (True = an event).

        ``length`` pads further than the longest row; it must not be shorter than that.
        """
        lengths = self.lengths
        longest = int(lengths.max()) if len(lengths) else 0
        longest = max(longest, self.longest, length or 0)
        steps = torch.arange(longest, device=self.values.device)
        mask = steps < lengths[:, None]
        if not self.values.shape[1]:
            return self.values.new_zeros(len(self.values), *mask.shape), mask
        index = (self.offsets[:-1, None] + steps).clamp(max=self.values.shape[1] - 1)
        return self.values[:, index] * mask, mask

    def take(self, rows: Tensor) -> Jagged:
        """The lists of ``rows`` (int64 ``[B']``), in that order."""
        lengths = self.lengths[rows]
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        shift = self.offsets[:-1][rows] - offsets[:-1]
        index = torch.arange(int(offsets[-1]), device=rows.device)
        index = index + torch.repeat_interleave(shift, lengths)
        return Jagged(values=self.values[:, index], offsets=offsets)

    @staticmethod
    def concat(parts: Sequence[Jagged]) -> Jagged:
        """All rows of ``parts``, one after the other."""
        lengths = torch.cat([part.lengths for part in parts])
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        return Jagged(
            values=torch.cat([part.values for part in parts], 1),
            offsets=offsets,
            longest=max(part.longest for part in parts),
        )

    def each(self, change: Callable[[Tensor], Tensor]) -> Jagged:
        """Both tensors through ``change``."""
        return replace(self, values=change(self.values), offsets=change(self.offsets))


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Rows of transformed data.

    ``ids``: int32 ``[B]`` a categorical or bucket column; ``numbers``: float32 ``[B]`` a numeric
    column; ``lists``: one :class:`Jagged` a sequence, its columns in the order of the contract;
    ``labels``: float32 ``[B]`` per task.
    A batch of one side of a request holds the columns of that side only.
    ``keys``: int64 ``[B]``, for losses that compare rows: ``user``, ``request`` and ``item``, equal
    where the raw ids are, and ``time`` (milliseconds); empty where nothing compares rows.
    ``shared``: by ``user`` or ``request``, the state of the group that each row is in
    (:mod:`hemix.models.data.shared_state`): the user's columns alone.
    """

    size: int
    ids: dict[str, Tensor]
    numbers: dict[str, Tensor]
    lists: dict[str, Jagged]
    labels: dict[str, Tensor]
    keys: dict[str, Tensor] = field(default_factory=dict)
    shared: dict[str, Batch] = field(default_factory=dict)

    @staticmethod
    def from_columns(
        spec: FeatureSpec, columns: Mapping[str, Column], sides: Collection[Side] = SIDES
    ) -> Batch:
        """Build from numpy columns, as ``TransformGraph.apply_columns`` returns them.

        Raises:
            DataError: a column of ``spec`` is missing; the message names it.
        """

        def column(name: str) -> np.ndarray:
            value = _need(columns, name)
            assert isinstance(value, np.ndarray), f"{name} holds lists"
            return value

        def tensor(name: str, kind: type) -> Tensor:  # a copy: Arrow's memory is read-only
            return torch.from_numpy(np.array(column(name), dtype=kind))

        ids = {f.name: tensor(f.name, np.int32) for f in spec.categorical if f.side in sides}
        numeric = [f for f in spec.numeric if f.side in sides]
        ids |= {f.bucket: tensor(f.bucket, np.int32) for f in numeric}
        numbers = {f.name: tensor(f.name, np.float32) for f in numeric}
        lists: dict[str, Jagged] = {}
        if "user" in sides:
            lists = {s.name: _jagged(s, columns) for s in spec.sequences}
        labels = {t.name: tensor(t.column, np.float32) for t in spec.tasks if t.column in columns}
        sizes = {len(t) for t in [*ids.values(), *numbers.values()]}
        sizes |= {len(j.offsets) - 1 for j in lists.values()}
        if len(sizes) != 1:
            raise DataError(f"The columns of a batch differ in length: {sorted(sizes)}.")
        return Batch(size=sizes.pop(), ids=ids, numbers=numbers, lists=lists, labels=labels)

    @staticmethod
    def from_table(spec: FeatureSpec, table: pa.Table) -> Batch:
        """Build from rows of ``transformed/``; label columns are taken when present."""
        return Batch.from_columns(spec, {name: _numpy(table[name]) for name in table.column_names})

    def take(self, rows: Tensor) -> Batch:
        """The rows ``rows`` (int64 ``[B']``), in that order."""
        return Batch(
            size=len(rows),
            ids={k: v[rows] for k, v in self.ids.items()},
            numbers={k: v[rows] for k, v in self.numbers.items()},
            lists={k: v.take(rows) for k, v in self.lists.items()},
            labels={k: v[rows] for k, v in self.labels.items()},
            keys={k: v[rows] for k, v in self.keys.items()},
            shared={k: v.take(rows) for k, v in self.shared.items()},
        )

    def part(self, rows: Tensor, kept: slice) -> Batch:
        """The rows ``rows[kept]``, padded as all of ``rows`` would be."""
        part = self.take(rows[kept])
        states = {k: v.part(rows, kept) for k, v in self.shared.items()}
        part = part.with_shared(states) if states else part
        if len(rows) == part.size and not any(v.longest for v in self.lists.values()):
            return part
        longest = {k: max(v.longest, int(v.lengths[rows].max())) for k, v in self.lists.items()}
        lists = {k: replace(v, longest=longest[k]) for k, v in part.lists.items()}
        return replace(part, lists=lists)

    @staticmethod
    def concat(parts: Sequence[Batch]) -> Batch:
        """All rows of ``parts``, one after the other."""
        first = parts[0]
        if len(parts) == 1:
            return first
        return Batch(
            size=sum(p.size for p in parts),
            ids={k: torch.cat([p.ids[k] for p in parts]) for k in first.ids},
            numbers={k: torch.cat([p.numbers[k] for p in parts]) for k in first.numbers},
            lists={k: Jagged.concat([p.lists[k] for p in parts]) for k in first.lists},
            labels={k: torch.cat([p.labels[k] for p in parts]) for k in first.labels},
            keys={k: torch.cat([p.keys[k] for p in parts]) for k in first.keys},
            shared={k: Batch.concat([p.shared[k] for p in parts]) for k in first.shared},
        )

    def beside(self, other: Batch) -> Batch:
        """The columns of both batches; they must have the same number of rows."""
        assert self.size == other.size, (self.size, other.size)
        return Batch(
            size=self.size,
            ids=self.ids | other.ids,
            numbers=self.numbers | other.numbers,
            lists=self.lists | other.lists,
            labels=self.labels | other.labels,
        )

    def with_shared(self, states: Mapping[str, Batch]) -> Batch:
        """The same rows with these ``shared`` states."""
        return replace(self, shared=dict(states))

    def on_state(self, by: str) -> Batch:
        """The rows on the shared state ``by``: the user's columns are its, all others their own."""
        state = self.shared[by]
        return replace(
            self,
            ids=self.ids | state.ids,
            numbers=self.numbers | state.numbers,
            lists=self.lists | state.lists,
            shared={},
        )

    def to(self, device: torch.device) -> Batch:
        """On ``device``; of a :meth:`pinned` batch a GPU copies while the CPU goes on."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pinned(self) -> Batch:
        """A copy in page-locked (pinned) memory, for asynchronous transfer to a GPU."""
        return self._each(lambda tensor: tensor.pin_memory())

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            size=self.size,
            ids={k: change(v) for k, v in self.ids.items()},
            numbers={k: change(v) for k, v in self.numbers.items()},
            lists={k: v.each(change) for k, v in self.lists.items()},
            labels={k: change(v) for k, v in self.labels.items()},
            keys={k: change(v) for k, v in self.keys.items()},
            shared={k: v._each(change) for k, v in self.shared.items()},
        )


def _need(columns: Mapping[str, Column], name: str) -> Column:
    if name not in columns:
        raise DataError(
            f"The transformed data lacks the column {name!r}.",
            hint="The data and the transform graph must come from the same run.",
        )
    return columns[name]


def _jagged(sequence: SequenceFeature, columns: Mapping[str, Column]) -> Jagged:
    parts = []
    offsets: np.ndarray | None = None
    for part in sequence.columns:
        column = _need(columns, part.column)
        assert isinstance(column, tuple), f"{part.column} holds no lists"
        if offsets is not None and not np.array_equal(offsets, column[1]):
            raise DataError(f"The lists of {part.column!r} differ in length from their sequence's.")
        values, offsets = column
        parts.append(np.asarray(values, dtype=np.int32))
    assert offsets is not None, f"the sequence {sequence.name} has no columns"
    return Jagged(
        values=torch.from_numpy(np.stack(parts)),
        offsets=torch.from_numpy(np.array(offsets, dtype=np.int64)),
    )


def _numpy(column: pa.ChunkedArray) -> Column:
    array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if not pa.types.is_list(array.type) and not pa.types.is_large_list(array.type):
        return array.to_numpy(zero_copy_only=False)
    # A slice keeps its parent's values: cut them, and let the offsets start at 0.
    offsets = array.offsets.to_numpy().astype(np.int64)
    values = array.values.to_numpy(zero_copy_only=False)[offsets[0] : offsets[-1]]
    return values, offsets - offsets[0]
