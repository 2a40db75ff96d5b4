"""A user's own recent events as counters of pairs look at them: the lists that a publication stores.

Live, they are made of what is known when a request comes; what counts them is the same
(:func:`hemix.features.store.per_candidate.pair_columns`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemix.features.arrays.dense_ranks import flat, integers, ranks
from hemix.features.counting.pairs import UserEvents, floors
from hemix.features.definition import DatasetDefinition
from hemix.features.examples.behaviors import Timeline
from hemix.features.examples.log import Log
from hemix.features.examples.user_counters import exact_events, pair_values
from hemix.features.schema import (
    ACTED,
    MISSING_INT,
    MISSING_STRING,
    TIME,
    label_column,
    pair_list_names,
    pairs_of,
)

Lists = dict[str, npt.NDArray[Any]]


def pair_lists_of(log: Log, shown: pa.Table | None, timeline: Timeline) -> Lists:
    """The lists of one user by name.

    Args:
        log: definition, types and the items' dimension.
        shown: the user's known interactions, in the columns of :func:`shown_columns`; None where no
            counter of a pair counts them.
        timeline: the user's known behaviours.
    """
    lists: Lists = {}
    for prefix, names in pair_list_names(log.definition).items():
        acted = prefix == ACTED
        table = exact_events(timeline) if acted else shown
        assert table is not None
        for name in names:
            if name == "event_time_ms":
                lists[prefix + name] = integers(table["event_time"])
            elif name == "action" or name.startswith("label_"):
                lists[prefix + name] = _values(table[name])
            else:
                lists[prefix + name] = _values(pair_values(log, name, table, acted=acted))
    return lists


def shown_columns(definition: DatasetDefinition) -> list[str]:
    """What is kept of interactions for counters of pairs, beside the user."""
    pairs = pairs_of(definition, action=False)
    halves = [c.keys[1] for c in pairs if c.keys[1] in definition.context_columns]
    labels = [label_column(task) for task in definition.tasks]
    return ["item_id", "event_time", *labels, *dict.fromkeys(halves)]


def shown_before(log: Log, old: pa.Table) -> pa.Table:
    """The interactions of before a base's horizon that a counter of a pair may still look at, by user."""
    pairs = pairs_of(log.definition, action=False)
    kept = ["user_id", *shown_columns(log.definition)]
    if not pairs:
        return old.select(kept).slice(0, 0)
    last = max(counter.last for counter in pairs)
    return (
        old.select(kept)
        .take(_recent(old, last))
        .sort_by([("user_id", "ascending"), ("event_time", "ascending")])
    )


def acted_lately(log: Log, behaviors: pa.Table) -> npt.NDArray[np.bool_]:
    """True where a counter of a pair may look at a behaviour."""
    result = np.zeros(behaviors.num_rows, np.bool_)
    if pairs := pairs_of(log.definition, action=True):
        exact = np.flatnonzero(flat(behaviors["time_exact"]).to_numpy(zero_copy_only=False))
        last = max(counter.last for counter in pairs)
        result[exact[_recent(behaviors.take(pa.array(exact)), last).to_numpy()]] = True
    return result


def _recent(table: pa.Table, last: int) -> pa.Array:
    """Places of each user's ``last`` latest rows, with all of the oldest's instant."""
    (users,), count = ranks([table["user_id"]])
    times = integers(table["event_time"])
    events = UserEvents(users=users, values=users, times=times, flags={})
    end = np.full(count, int(times.max(initial=0)) + 1, np.int64)
    oldest = floors(events, np.arange(count), end, last=last, delay_ms=0)
    return pa.array(np.flatnonzero(times >= oldest[users]))


def shown_table(
    log: Log,
    *,
    items: list[Any],
    times: npt.NDArray[np.int64],
    labels: Mapping[str, npt.NDArray[np.int64]],
    contexts: list[Mapping[str, Any]],
) -> pa.Table:
    """Live interactions in the columns of :func:`shown_columns`.

    Args:
        log: definition and types.
        items: ids ``[rows]``.
        times: int64 ``[rows]``, epoch milliseconds.
        labels: task -> 0 or 1 ``[rows]``.
        contexts: what each event said of its own columns.
    """
    columns: dict[str, Any] = {
        "item_id": pa.array(items, log.types.item_id),
        "event_time": pa.array(times).cast(TIME),
        **{label_column(task): pa.array(values, pa.int8()) for task, values in labels.items()},
    }
    names = shown_columns(log.definition)
    for name in names:
        if name not in columns:
            kind = log.types.context[name]
            values = pa.array([context.get(name) for context in contexts], kind)
            columns[name] = pc.fill_null(values, _missing(kind))
    return pa.table({name: columns[name] for name in names})


def _missing(kind: pa.DataType) -> Any:
    if pa.types.is_string(kind):
        return MISSING_STRING
    return float("nan") if pa.types.is_floating(kind) else MISSING_INT


def _values(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[Any]:
    array = flat(column)
    if isinstance(array, pa.DictionaryArray):
        array = array.dictionary_decode()
    values: npt.NDArray[Any] = array.to_numpy(zero_copy_only=False)
    if pa.types.is_string(array.type):
        return values.astype(object)
    return values if values.dtype.kind == "f" else values.astype(np.int64, copy=False)
