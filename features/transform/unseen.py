"""How many ids values share that training never saw: enough to tell new items apart in a session.

Measured on the log itself: on the validation window, which lies behind the training rows, new values
are counted as a request of tomorrow would meet them.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from hemix.features.definition import DatasetDefinition
from hemix.features.schema import MISSING_INT, MISSING_STRING
from hemix.features.transform.columns import (
    day_may_hold,
    example_files,
    read_batches,
    split_windows,
)

NEGLIGIBLE = 0.01
"""Share of interactions with a new value from which on new values are told apart."""
FEWEST, MOST = 256, 8192


def bucket_sizes(definition: DatasetDefinition, examples: Path) -> dict[str, int]:
    """Hash buckets of each vocabulary that says ``oov_buckets: auto`` and that sequences read.

    One where new values are rare: fewer than :data:`NEGLIGIBLE` of the validation rows hold one.
    Else twice as many as there are new values in that window, as a power of two, between
    :data:`FEWEST` and :data:`MOST`: two items of a session then rarely share one.

    Raises:
        StorageError: a file is truncated.
    """
    read = {"item_id", *definition.sequences.columns}
    fields = [
        field.name
        for field in definition.categorical
        if field.oov_buckets == "auto"
        and field.name in read
        and field.vocabulary in (None, field.name)
    ]
    if not fields:
        return {}
    known = _values(definition, examples, "train", fields)
    later = _values(definition, examples, "validation", fields)
    return {name: _buckets(known[name], later[name]) for name in fields}


def _buckets(known: pa.Table, later: pa.Table) -> int:
    new = later.filter(
        pc.invert(pc.is_in(later["value"], value_set=known["value"].combine_chunks()))
    )
    rows, total = pc.sum(new["rows"]).as_py() or 0, pc.sum(later["rows"]).as_py() or 0
    if not total or rows / total < NEGLIGIBLE:
        return 1
    return min(max(FEWEST, 1 << (2 * new.num_rows - 1).bit_length()), MOST)


def _values(
    definition: DatasetDefinition, examples: Path, split: str, fields: list[str]
) -> dict[str, pa.Table]:
    """The distinct values of some columns in a split, each with its rows; no missing ones."""
    window = split_windows(definition)[split]
    counts: dict[str, list[pa.Table]] = {name: [] for name in fields}
    for file in example_files(examples):
        if not day_may_hold(file, window):
            continue
        for batch in read_batches(file, window, 1 << 16, fields):
            for name in fields:
                found = pc.value_counts(batch.column(name))
                counts[name].append(
                    pa.table({"value": found.field("values"), "rows": found.field("counts")})
                )
    return {name: _joined(tables) for name, tables in counts.items()}


def _joined(tables: list[pa.Table]) -> pa.Table:
    if not tables:
        return pa.table({"value": pa.array([], pa.string()), "rows": pa.array([], pa.int64())})
    summed = pa.concat_tables(tables).group_by("value").aggregate([("rows", "sum")])
    missing = MISSING_STRING if pa.types.is_string(summed["value"].type) else MISSING_INT
    kept = summed.filter(pc.not_equal(summed["value"], missing))
    return pa.table({"value": kept["value"], "rows": kept["rows_sum"]})
