"""Columns of a request with those that live events make in the place of the published ones."""

from __future__ import annotations

from dataclasses import replace

from hemix.features.definition import DatasetDefinition
from hemix.features.live.columns import LiveColumns
from hemix.features.store.assemble import RequestColumns, request_statistics
from hemix.features.store.per_candidate import matching_columns, pair_columns


def overlaid(
    definition: DatasetDefinition, raw: RequestColumns, live: LiveColumns, time_ms: int
) -> RequestColumns:
    """``raw`` with the sequences and counters of ``live``, and all that follows from them.

    Those are matches, counters of pairs at ``time_ms`` (of the user's live events), and statistics
    within the request of counters.

    Raises:
        AssertionError: ``live`` makes a column that no request has.
    """
    assert live.user.keys() <= raw.user.keys(), live.user.keys() - raw.user.keys()
    assert live.items.keys() <= raw.items.keys(), live.items.keys() - raw.items.keys()
    user, items = {**raw.user, **live.user}, {**raw.items, **live.items}
    items |= matching_columns(definition, user, items)
    pairs = pair_columns(definition, live.pair_lists, {**user, **items}, time_ms)
    for name, values in pairs.items():
        (items if definition.side_of(name) == "item" else user)[name] = values
    of_counters = [m for m in definition.within_request if m.of in definition.counter_columns]
    items |= request_statistics(of_counters, items)
    return replace(raw, user=user, items=items)
