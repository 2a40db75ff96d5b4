"""A request's columns that depend on user and candidate both: counters of pairs, and matches.

Everything is worked out of the user's own stored events, with the functions that made the examples;
nothing is stored or fetched by pair.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from hemix.features.counting.counts import since_seconds
from hemix.features.counting.matches import Lists, match_columns
from hemix.features.counting.numbering import numbered_values
from hemix.features.counting.pairs import Candidates, UserEvents, pair_counts
from hemix.features.definition import DatasetDefinition
from hemix.features.parts import Counter
from hemix.features.schema import ACTED, SHOWN, label_column, pair_list_names, sequence_column
from hemix.features.store.rows import OnlineRows
from hemix.features.transform.columns import Column

Values = npt.NDArray[np.generic]


def pair_columns(
    definition: DatasetDefinition,
    lists: Mapping[str, Values],
    columns: Mapping[str, Column],
    time_ms: int,
) -> dict[str, Values]:
    """Counters of pairs at ``time_ms``, int64 ``[N]``; ``[1]`` where the other half is the request's.

    Args:
        definition: the data set definition.
        lists: the user's, by the names of :func:`hemix.features.schema.pair_lists`.
        columns: the request's columns that hold the pairs' other halves.
        time_ms: the request's time, epoch milliseconds.
    """
    found: dict[str, Values] = {}
    for counter in definition.counters:
        if counter.is_pair:
            asked = columns[counter.keys[1]]
            assert not isinstance(asked, tuple)
            found |= _pair(definition, counter, lists, asked, time_ms)
    return found


def _pair(
    definition: DatasetDefinition,
    counter: Counter,
    lists: Mapping[str, Values],
    asked: Values,
    time_ms: int,
) -> dict[str, Values]:
    columns: dict[str, Values] = {}
    here = np.full(len(asked), time_ms, np.int64)
    nobody = np.zeros(len(asked), np.int64)
    counted = counter.counted(definition.tasks)
    for prefix, action in ((SHOWN, False), (ACTED, True)):
        mine = [one for one in counted if one.action == action]
        if not mine:
            continue

        wanted, values = numbered_values(asked, lists[prefix + counter.keys[1]])
        flags = {}
        for one in mine:
            if action:
                flags[one.name] = np.asarray(lists[prefix + "action"] == one.name, np.bool_)
            elif one.name == "impression":
                flags[one.name] = np.ones(len(values), np.bool_)
            else:
                flags[one.name] = np.asarray(lists[prefix + label_column(one.name)] == 1, np.bool_)
        counts = pair_counts(
            UserEvents(
                users=np.zeros(len(values), np.int64),
                values=values,
                times=lists[prefix + "event_time_ms"].astype(np.int64, copy=False),
                flags=flags,
            ),
            Candidates(users=nobody, values=wanted, times=here),
            windows=counter.windows,
            last=counter.last,
            delay_ms=definition.sequences.delay_s * 1000,
        )
        for one in mine:
            for window in counter.windows:
                columns[one.column(window)] = counts.counts[one.name, window]
            if counter.since_last:
                columns[one.since] = since_seconds(counts.last_ms[one.name], time_ms)
    return columns


def stored_lists(definition: DatasetDefinition, user: OnlineRows) -> dict[str, Values]:
    """The lists of one user's row that counters of pairs are counted from."""
    return {
        prefix + name: user.columns[prefix + name][0]
        for prefix, names in pair_list_names(definition).items()
        for name in names
    }


def matching_columns(
    definition: DatasetDefinition, sequences: Mapping[str, Column], items: Mapping[str, Column]
) -> dict[str, Values]:
    """Matches of each candidate with the request's sequences, int64 ``[N]``.

    Args:
        definition: the data set definition.
        sequences: the sequences' columns, one list each.
        items: the candidates' columns.
    """
    found: dict[str, Values] = {}
    for match in definition.matches:
        candidates = items[match.column]
        assert not isinstance(candidates, tuple)
        for sequence in match.sequences:
            values, offsets = sequences[sequence_column(sequence, match.column)]
            gaps, _ = sequences[sequence_column(sequence, "gap_s")]
            wanted, held = numbered_values(candidates, values)
            found |= match_columns(
                match,
                sequence,
                Lists(offsets=offsets, values=held, gaps=gaps.astype(np.int64, copy=False)),
                np.zeros(len(wanted), np.int64),
                wanted,
            )
    return found


def last_times(
    definition: DatasetDefinition, rows: OnlineRows, *, by_user: bool, time_ms: int
) -> dict[str, Values]:
    """Seconds since the last event of counters of one key, int64 ``[N]``."""
    return {
        one.since: since_seconds(rows.columns[one.last_ms], time_ms)
        for counter in definition.counters
        if counter.since_last and not counter.is_pair and counter.by_user == by_user
        for one in counter.counted(definition.tasks)
    }
