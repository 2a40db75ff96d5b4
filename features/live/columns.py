"""The columns of one request, made of the events that are known then: the seam between live and offline.

:func:`columns_at` calls what builds the examples (``Timeline``, ``cut``, ``gather``,
``sequence_columns``, ``count``) on the events of one user and of the candidates' keys. Edges,
``availability_delay``, ties, repeats and order are therefore the examples' own, and values decay as
time passes, since nothing is kept but events.

**A new kind of column** is added in three places:

1. :class:`Known` gets the events it is made of, if it needs others than those there;
   :meth:`hemix.features.live.state.LiveState.known` fills them in, filtered by when they became
   known and by nothing else;
2. a function here calls the kernel that computes it offline with one query (of the user) or N (of
   the candidates) at ``time_ms``, and returns numpy columns by the names that they have in the
   examples; :func:`columns_at` adds them to ``user`` or ``items``;
3. if it can reach further back than the counters' longest window and the sequences, say so in
   :func:`hemix.features.live.base.horizon_of`: that is how much of the log a publication keeps.

tests/features/live/test_parity.py then holds it to ``build_examples`` on made-up logs, column by column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from hemix.features.arrays.dense_ranks import Ints
from hemix.features.arrays.gather import gather
from hemix.features.counting.counts import Asked, Events, count
from hemix.features.examples import sequences
from hemix.features.examples.behaviors import Timeline
from hemix.features.examples.counter_columns import Counting
from hemix.features.examples.log import Log
from hemix.features.examples.write_partitions import sequence_columns
from hemix.features.live.pair_lists import Lists, pair_lists_of
from hemix.features.parts import Counter
from hemix.features.schema import SEQUENCES, sequence_column
from hemix.features.transform.columns import Column

Columns = dict[str, Column]


@dataclass(frozen=True, kw_only=True)
class Counted:
    """What a counter counts of one table for one request: its queries' events, and sums of older ones.

    Args:
        events: those of the request's keys, in any order.
        queries: int64 ``[q]``, the key of each query; -1 is a missing one. A counter of the user
            has one query, one of the item N.
        before: what is counted -> int64 ``[q]``, how many older ones ``ever`` counts besides.
        before_last_ms: what is counted -> int64 ``[q]``, when the last older one was, or NEVER.
    """

    events: Events
    queries: Ints
    before: Mapping[str, Ints]
    before_last_ms: Mapping[str, Ints]


@dataclass(frozen=True, kw_only=True)
class Known:
    """The events that one request may see, whatever their own times.

    Args:
        behaviors: of the user, in ``behaviors_schema``; in any order, repeats too.
        counted: one a counter of the definition, in its order, of interactions and of behaviours
            (None where it counts none); None of a pair.
        shown: the user's interactions, where counters of pairs count them.
    """

    behaviors: pa.Table
    counted: Sequence[tuple[Counted | None, Counted | None] | None]
    shown: pa.Table | None = None


@dataclass(frozen=True, kw_only=True)
class LiveColumns:
    """``user``: columns of 1 row; ``items``: of N rows; named and typed as in the examples.

    ``pair_lists``: what counters of pairs are counted from, as a publication stores it.
    """

    user: Columns
    items: Columns
    pair_lists: Lists


def columns_at(log: Log, known: Known, time_ms: int) -> LiveColumns:
    """Sequences and counters of a request at ``time_ms`` (epoch milliseconds).

    Args:
        log: definition, types and the items' dimension.
        known: what :meth:`hemix.features.live.state.LiveState.known` gathered.
        time_ms: the request's time, epoch milliseconds.
    """
    alone = np.zeros(known.behaviors.num_rows, np.int64)
    timeline = Timeline.of(log, known.behaviors, alone, 1)
    user, items = sequences_at(log, timeline, time_ms), Columns()
    for counter, counted in zip(log.definition.counters, known.counted, strict=True):
        if counted is None:
            continue
        side = user if log.definition.side_of_counter(counter) == "user" else items
        side |= counts_at(log, counter, counted, time_ms)
    lists = pair_lists_of(log, known.shown, timeline)
    return LiveColumns(user=user, items=items, pair_lists=lists)


def sequences_at(log: Log, timeline: Timeline, time_ms: int) -> Columns:
    """The global and the real-time sequence of one user; each column is (values, offsets ``[2]``)."""
    rule, asked = log.definition.sequences, np.array([time_ms], np.int64)
    alone = np.zeros(1, np.int64)
    ranges = sequences.cut(timeline.index, alone, asked, rule)
    columns: Columns = {}
    for name in SEQUENCES:
        start, end = getattr(ranges, f"{name}_start"), getattr(ranges, f"{name}_end")
        events = gather([timeline.events], alone, start, end - start)
        for column, lists in sequence_columns(log, events, asked).items():
            columns[sequence_column(name, column)] = _ragged(lists)
    return columns


def counts_at(log: Log, counter: Counter, parts: Sequence[Counted | None], time_ms: int) -> Columns:
    """The columns ``[q]`` of a counter, of its part of the interactions and of the behaviours."""
    columns: Columns = {}
    for counting, counted in zip(Counting.of(log.definition, counter), parts, strict=True):
        if counted is None:
            continue
        times = np.full(len(counted.queries), time_ms, np.int64)
        found = count(
            counted.events,
            Asked(groups=counted.queries, times=times),
            windows=counter.windows,
            delay_ms=log.delay_ms,
        )
        for name, before in counted.before.items():
            for window in counter.windows:
                if counter.window_seconds(window) is None:
                    found.counts[name, window] += before
            last = found.last_ms[name]
            np.maximum(last, counted.before_last_ms[name], out=last)
        columns |= counting.columns(found, times)
    return columns


def _ragged(lists: pa.ListArray) -> Column:
    values = lists.values
    if isinstance(values, pa.DictionaryArray):
        values = values.dictionary_decode()
    offsets = lists.offsets.to_numpy().astype(np.int64)
    array = values.to_numpy(zero_copy_only=False)
    return (array.astype(object) if pa.types.is_string(values.type) else array), offsets
