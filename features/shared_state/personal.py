"""Counters of pairs, matches and their statistics of every row, as of the moment of its group.

By the functions that made the examples, asked at the moment in place of the row's own time: the events
that a counter of a pair may count are those known at the moment, a match looks into the sequences of
the moment's row.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemix.features.arrays.dense_ranks import Ints, flat, integers, present, ranks
from hemix.features.counting.matches import Lists, match_columns
from hemix.features.counting.numbering import numbered
from hemix.features.counting.pairs import Candidates, UserEvents, pair_counts
from hemix.features.definition import DatasetDefinition
from hemix.features.derived.among_candidates import within_request
from hemix.features.examples.behaviors import Timeline
from hemix.features.examples.counter_columns import Counting
from hemix.features.examples.log import Log, read_rows, read_tasks, read_types
from hemix.features.examples.user_counters import exact_events, pair_values
from hemix.features.schema import sequence_column
from hemix.features.shared_state.columns import columns_of_rates, pair_columns
from hemix.features.shared_state.moments import Moments

Values = dict[str, npt.NDArray[Any]]


def personal_values(
    definition: DatasetDefinition,
    events: Path,
    rows: pa.Table,
    moments: Moments,
    first: pa.Table,
) -> Values:
    """The raw columns of :func:`hemix.features.shared_state.columns.personal_columns`, ``[B]`` each,
    and the counters beside them that rates are made of.

    Args:
        definition: the data set definition.
        events: what ingest wrote; read when the definition has counters of pairs.
        rows: the window's examples ``[B]``: keys and
            :func:`hemix.features.shared_state.columns.columns_of_rows`.
        moments: the groups of these rows.
        first: examples of the moments' own rows ``[G]`` with
            :func:`hemix.features.shared_state.columns.columns_of_moments`.

    Raises:
        DataError: a file of the events is damaged or lacks columns.
    """
    found: Values = {}
    if pair_columns(definition):
        found |= _pairs(definition, events, rows, moments)
    found |= _matches(definition, rows, moments, first)
    found |= _statistics(definition, rows, found)
    of_moment, of_row = columns_of_rates(definition)
    found |= {name: integers(rows[name]) for name in of_row}
    return found | {name: integers(first[name])[moments.of_row] for name in of_moment}


def _pairs(definition: DatasetDefinition, events: Path, rows: pa.Table, moments: Moments) -> Values:
    log = Log(definition=definition, types=read_types(events), events=events)
    latest = int(moments.times.max())
    ids = flat(rows["user_id"]).unique()
    interactions, behaviors = (
        _known(log, table, ids, latest) for table in ("interactions", "behaviors")
    )
    columns = [interactions["user_id"], behaviors["user_id"], rows["user_id"]]
    (shown, acted, asked), count = ranks(columns)
    exact = exact_events(Timeline.of(log, behaviors, acted, count))
    shown, asked = (
        np.where(present(one), numbers, -1)
        for one, numbers in ((columns[0], shown), (columns[2], asked))
    )
    found: Values = {}
    for counter in definition.counters:
        if not counter.is_pair:
            continue
        for counting in Counting.of(definition, counter):
            if not counting.counted:
                continue
            action = counting.counted[0].action
            table, users = (exact, integers(exact["user"])) if action else (interactions, shown)
            key = counter.keys[1]
            values, held = numbered(rows[key], pair_values(log, key, table, acted=action))
            counts = pair_counts(
                UserEvents(
                    users=users,
                    values=held,
                    times=integers(table["event_time"]),
                    flags=counting.flags(table),
                ),
                Candidates(users=asked, values=values, times=moments.times),
                windows=counter.windows,
                last=counter.last,
                delay_ms=log.delay_ms,
            )
            found |= counting.columns(counts, moments.times)
    return found


def _known(log: Log, table: str, users: pa.Array, latest: int) -> pa.Table:
    """What these users did before ``latest``."""
    schema = log.schema(table)
    kept = [schema.empty_table()]
    for task in read_tasks(log.events, table):
        piece = read_rows(task, schema)
        early = pa.array(integers(piece["event_time"]) < latest)
        kept.append(piece.filter(pc.and_(early, pc.is_in(piece["user_id"], value_set=users))))
    return pa.concat_tables(kept).combine_chunks()


def _matches(
    definition: DatasetDefinition, rows: pa.Table, moments: Moments, first: pa.Table
) -> Values:
    found: Values = {}
    for match in definition.matches:
        for sequence in match.sequences:
            lists = flat(first[sequence_column(sequence, match.column)])
            gaps = flat(first[sequence_column(sequence, "gap_s")])
            ends: Ints = np.asarray(lists.offsets.to_numpy(), np.int64)
            values, held = numbered(rows[match.column], lists.flatten())
            found |= match_columns(
                match,
                sequence,
                Lists(offsets=ends - ends[0], values=held, gaps=integers(gaps.flatten())),
                moments.of_row,
                values,
            )
    return found


def _statistics(definition: DatasetDefinition, rows: pa.Table, found: Values) -> Values:
    """Statistics of pairs among rows of the same request id, user and time, as in the examples."""
    made = [one for one in definition.within_request if one.of in found]
    if not made:
        return {}
    keys = [ranks([rows[name]])[0][0] for name in ("event_time", "user_id", "request_id")]
    _, requests = np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)
    result: Values = {}
    for one in made:
        of_request = within_request(found[one.of], requests.astype(np.int64), one.statistics)
        result |= {one.column(name): values for name, values in of_request.items()}
    return result
