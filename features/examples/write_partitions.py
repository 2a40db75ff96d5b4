"""Output parts: one span of time of one day, in order, with everything joined."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.features.arrays.dense_ranks import Ints, flat, integers, ranks
from hemix.features.arrays.gather import Gathered, gather
from hemix.features.arrays.time_index import tied
from hemix.features.counting.matches import Lists, match_columns
from hemix.features.counting.numbering import numbered
from hemix.features.definition import DatasetDefinition
from hemix.features.derived.among_candidates import within_request
from hemix.features.derived.of_time import TIME_FIELDS, item_age_days
from hemix.features.examples import shuffle_files as exchange
from hemix.features.examples.behaviors import INEXACT_TIME
from hemix.features.examples.counter_columns import counter_names, default_of
from hemix.features.examples.log import Log
from hemix.features.examples.plan import Plan, slice_name
from hemix.features.examples.shard import RANGES, ROW
from hemix.features.examples.shuffle_files import Reference
from hemix.features.schema import (
    INEXACT_GAP,
    MISSING_INT,
    SEQUENCES,
    examples_schema,
    sequence_column,
)
from hemix.files import atomic_file, write_json


@dataclass(frozen=True, kw_only=True)
class PartSummary:
    """Facts of a written part; sums, so that they add up whatever the parts."""

    day: int
    rows: int
    sequence_events: dict[str, int]
    sequence_empty: dict[str, int]


@dataclass(frozen=True)
class WritePart:
    """Join, sort and write one slice of the output."""

    plan: Plan

    def __call__(self, group: tuple[int, Iterable[tuple[str, Reference, str]]]) -> PartSummary:
        number, values = group
        plan = self.plan
        pieces: dict[str, list[tuple[Reference, str]]] = defaultdict(list)
        for kind, reference, file in sorted(values):
            pieces[kind].append((reference, file))
        rows, sources, files = self._interactions(pieces.pop("users"))
        order = sort_rows(rows, plan.schema("interactions").names)
        rows, sources = rows.take(pa.array(order)).combine_chunks(), sources[order]
        columns = {name: flat(rows[name]) for name in rows.column_names}
        for kind, found in sorted(pieces.items()):
            counter = plan.definition.counters[int(kind.removeprefix("counter-"))]
            names = counter_names(plan.definition, counter)
            columns |= self._counters(names, [r for r, _ in found], integers(rows[ROW]))
        for name in plan.definition.counter_columns:
            if name not in columns:
                columns[name] = pa.array(np.full(rows.num_rows, default_of(name), np.int64))
        columns |= attributes(plan, rows)
        columns |= among_candidates(plan.definition, columns)
        summary = PartSummary(
            day=number >> 20, rows=rows.num_rows, sequence_events={}, sequence_empty={}
        )
        times = integers(rows["event_time"])
        events = [exchange.read(plan.scratch, (file, 0)) for file in files]
        for name in SEQUENCES:
            starts = integers(rows[f"{name}_start"])
            lengths = integers(rows[f"{name}_end"]) - starts
            gathered = gather(events, sources, starts, lengths)
            made = sequence_columns(plan, gathered, times)
            columns |= {sequence_column(name, column): values for column, values in made.items()}
            columns |= matches(plan, name, made, columns)
            summary.sequence_events[name] = int(lengths.sum())
            summary.sequence_empty[name] = int((lengths == 0).sum())
        self._write(number, columns)
        write_json(plan.scratch / f"{number}.summary.json", asdict(summary))
        return summary

    def _interactions(
        self, pieces: Sequence[tuple[Reference, str]]
    ) -> tuple[pa.Table, Ints, list[str]]:
        """All rows of the slice, for each the number of its events file, and those files."""
        plan = self.plan
        counters = [
            name
            for counter in plan.definition.counters
            if counter.by_user
            for name in counter_names(plan.definition, counter)
        ]
        numbers = [(name, pa.int64()) for name in (ROW, *RANGES, *counters)]
        schema = pa.schema([*plan.schema("interactions"), *numbers])
        batches = [exchange.read(plan.scratch, reference) for reference, _ in pieces]
        files = [file for _, file in pieces]
        sources = np.repeat(np.arange(len(files)), [batch.num_rows for batch in batches])
        return pa.Table.from_batches(batches, schema=schema).combine_chunks(), sources, files

    def _counters(
        self, names: Sequence[str], references: Sequence[Reference], wanted: Ints
    ) -> dict[str, pa.Array]:
        """Counter columns brought to the order of the rows ``wanted``; 0 where none was made."""
        schema = pa.schema([(name, pa.int64()) for name in (ROW, *names)])
        table = exchange.read_all(self.plan.scratch, references, schema)
        made = integers(table[ROW])
        order = np.argsort(made)
        place = order[np.minimum(np.searchsorted(made[order], wanted), len(made) - 1)]
        known = made[place] == wanted
        return {
            name: pa.array(np.where(known, integers(table[name])[place], default_of(name)))
            for name in names
        }

    def _write(self, number: int, columns: dict[str, pa.Array]) -> None:
        plan = self.plan
        schema = examples_schema(plan.definition, plan.types)
        table = pa.table({name: columns[name] for name in schema.names})
        write_examples(table, plan.out / slice_name(number))


def sort_rows(rows: pa.Table, names: Sequence[str]) -> Ints:
    """The order of the output: event_time, user_id, item_id, request_id, then all other columns.

    Where all are equal a -0.0 stands before a 0.0, so that no order hangs on how the rows came.
    """
    times = integers(rows["event_time"])
    order = np.argsort(times, kind="stable")
    ties = np.flatnonzero(tied(times[order]))
    if len(ties):
        keys = dict.fromkeys(["event_time", "user_id", "item_id", "request_id", *names])
        same = rows.select(list(keys)).take(pa.array(order[ties]))
        for name in [field.name for field in same.schema if pa.types.is_floating(field.type)]:
            values = same[name].to_numpy()
            zeros = f"{name}: sign of a zero"
            same = same.append_column(zeros, pa.array((values == 0) & ~np.signbit(values)))
        within = pc.sort_indices(
            same, sort_keys=[(name, "ascending") for name in same.column_names]
        )
        order[ties] = order[ties][within.to_numpy()]
    return order


def attributes(plan: Plan, rows: pa.Table) -> dict[str, pa.Array]:
    """Columns that follow from an interaction's own ids and time."""
    definition = plan.definition
    times = integers(rows["event_time"])
    columns: dict[str, pa.Array] = {
        str(name): pa.array(TIME_FIELDS[name].of(times)) for name in definition.time_fields
    }
    users = plan.users.rows(rows["user_id"], times)
    items = plan.items.rows(rows["item_id"], times)
    columns |= {name: plan.users.take(name, users) for name in definition.user_columns}
    columns |= {name: plan.items.take(name, items) for name in definition.item_columns}
    if definition.has_item_age:
        created = plan.items.take("created_at", items)
        columns["item_age_days"] = pa.array(
            item_age_days(integers(created.fill_null(MISSING_INT)), times)
        )
    return columns


def among_candidates(
    definition: DatasetDefinition, columns: Mapping[str, pa.Array]
) -> dict[str, pa.Array]:
    """How each row stands among those of its request: same request id, user and time."""
    if not definition.within_request:
        return {}
    keys = [ranks([columns[name]])[0][0] for name in ("event_time", "user_id", "request_id")]
    _, requests = np.unique(np.stack(keys, axis=1), axis=0, return_inverse=True)
    found: dict[str, pa.Array] = {}
    for made in definition.within_request:
        values = columns[made.of].to_numpy(zero_copy_only=False)
        statistics = within_request(values, requests.astype(np.int64), made.statistics)
        found |= {made.column(name): pa.array(made_) for name, made_ in statistics.items()}
    return found


def sequence_columns(log: Log, events: Gathered, times: Ints) -> dict[str, pa.Array]:
    """The parallel lists of a sequence, as list arrays (text as dictionaries)."""
    seen = integers(events.columns["event_time"])
    asked = np.repeat(times, np.diff(events.offsets))
    gap = np.where(seen == INEXACT_TIME, INEXACT_GAP, (asked - seen) // 1000)
    rows = events.columns["row"].to_numpy()
    flat_columns = {
        "item_id": events.columns["item_id"],
        **{name: log.items.spread(name, rows) for name in log.definition.sequences.columns},
        "action": events.columns["action"],
        "gap_s": pa.array(gap),
    }
    ends = pa.array(events.offsets, pa.int32())
    return {name: pa.ListArray.from_arrays(ends, values) for name, values in flat_columns.items()}


def matches(
    plan: Plan, sequence: str, events: Mapping[str, pa.Array], columns: Mapping[str, pa.Array]
) -> dict[str, pa.Array]:
    """The columns of matches between the rows' own items and one sequence of each."""
    found: dict[str, Ints] = {}
    for match in plan.definition.matches:
        if sequence not in match.sequences:
            continue
        lists = events[match.column]
        values, held = numbered(columns[match.column], lists.values)
        found |= match_columns(
            match,
            sequence,
            Lists(
                offsets=integers(lists.offsets), values=held, gaps=integers(events["gap_s"].values)
            ),
            np.arange(len(values)),
            values,
        )
    return {name: pa.array(values) for name, values in found.items()}


def write_examples(table: pa.Table, path: Path) -> None:
    """Write examples so that they read back with their schema: dictionaries become plain text."""
    # Gaps hardly repeat and are the bulk of a file: a dictionary of them only costs time.
    plain = [f"{name}_gap_s.list.element" for name in SEQUENCES]
    encoded = [leaf for leaf in _leaves(table.schema) if leaf not in plain]
    with atomic_file(path) as temporary:
        pq.write_table(
            table,
            temporary,
            compression="zstd",
            compression_level=1,
            store_schema=False,
            use_dictionary=encoded,
        )


def _leaves(schema: pa.Schema) -> list[str]:
    return [
        f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name
        for field in schema
    ]
