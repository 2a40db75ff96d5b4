"""The events of many ranges, gathered from the sorted events of several shards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hemix.features.arrays.dense_ranks import Ints
from hemix.features.arrays.jagged import offsets, ranges


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Ragged rows of events, oldest first.

    Args:
        offsets: int64 ``[rows + 1]``.
        columns: name -> ``[events]`` int64 array, or a dictionary array with sorted, used values.
    """

    offsets: Ints
    columns: dict[str, pa.Array]


def gather(sources: Sequence[pa.RecordBatch], which: Ints, starts: Ints, lengths: Ints) -> Gathered:
    """Row ``b`` holds ``sources[which[b]][starts[b] : starts[b] + lengths[b]]``.

    Args:
        sources: batches of one schema; text columns are dictionaries.
        which: int64 ``[rows]``, which source each row reads.
        starts: int64 ``[rows]``, its first event there.
        lengths: int64 ``[rows]``, how many events it reads.
    """
    ends = offsets(lengths)
    picks: list[tuple[int, Ints, Ints]] = []
    by_source = np.argsort(which, kind="stable")
    edges = np.searchsorted(which[by_source], np.arange(len(sources) + 1))
    for number in range(len(sources)):
        rows = by_source[edges[number] : edges[number + 1]]
        rows = rows[lengths[rows] > 0]
        if len(rows):
            count = lengths[rows]
            picks.append((number, ranges(starts[rows], count), ranges(ends[:-1][rows], count)))
    columns: dict[str, pa.Array] = {}
    for name in sources[0].schema.names:
        kind = sources[0].schema.field(name).type
        if pa.types.is_dictionary(kind):
            columns[name] = _dictionary(sources, name, picks, int(ends[-1]))
            continue
        values = np.empty(ends[-1], kind.to_pandas_dtype())
        for number, source, target in picks:
            values[target] = sources[number].column(name).to_numpy()[source]
        columns[name] = pa.array(values)
    return Gathered(offsets=ends, columns=columns)


def _dictionary(
    sources: Sequence[pa.RecordBatch], name: str, picks: list[tuple[int, Ints, Ints]], size: int
) -> pa.Array:
    """One dictionary column out of several with dictionaries of their own."""
    used: list[pa.Array] = []
    local: list[Ints] = []
    for number, source, _ in picks:
        column = sources[number].column(name)
        codes = column.indices.to_numpy()[source]
        mask = np.zeros(len(column.dictionary), np.bool_)
        mask[codes] = True
        renumber = np.cumsum(mask) - 1
        used.append(column.dictionary.filter(pa.array(mask)))
        local.append(renumber[codes])
    if not used:
        return pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), pa.array([], pa.string()))
    joined = pa.concat_arrays(used)
    values = joined.unique()
    values = values.take(pc.sort_indices(values))
    shared = pc.index_in(joined, value_set=values).to_numpy()
    codes = np.empty(size, np.int32)
    first = 0
    for (_, _, target), mine, dictionary in zip(picks, local, used, strict=True):
        codes[target] = shared[first : first + len(dictionary)][mine]
        first += len(dictionary)
    return pa.DictionaryArray.from_arrays(pa.array(codes), values)


def compact(codes: Ints, dictionary: pa.Array) -> pa.Array:
    """A dictionary array with only the used values, sorted: the same whatever the dictionary was."""
    mask = np.zeros(len(dictionary), np.bool_)
    mask[codes] = True
    kept = np.flatnonzero(mask)
    values = dictionary.take(pa.array(kept))
    order = pc.sort_indices(values).to_numpy()
    renumber = np.zeros(len(dictionary), np.int32)
    renumber[kept[order]] = np.arange(len(kept))
    return pa.DictionaryArray.from_arrays(pa.array(renumber[codes]), values.take(pa.array(order)))
