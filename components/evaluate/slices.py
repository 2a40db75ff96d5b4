"""Which slice each test row belongs to: user activity, item age, the definition's own columns."""

from __future__ import annotations

import itertools

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from hemix.features.definition import DatasetDefinition
from hemix.features.schema import DERIVED_SLICES, MISSING_INT, SEQUENCES, sequence_column

ACTIVITY_CUTS = (1, 10, 50)
ACTIVITY_NAMES = ("no past events", "1-9 past events", "10-49 past events", "50+ past events")
AGE_CUTS = (1.0, 7.0, 30.0)
AGE_NAMES = ("under 1 day", "1-6 days", "7-29 days", "30+ days")
UNKNOWN = "unknown"
OTHER = "other"
MOST_VALUES = 8
"""A column's most frequent values become slices; the rest together are ``other``."""

Names = NDArray[np.object_]


def slice_columns(definition: DatasetDefinition) -> tuple[str, ...]:
    """The raw example columns that :func:`slices_of` reads."""
    age = ("item_age_days",) if definition.has_item_age else ()
    lists = tuple(sequence_column(name, "item_id") for name in SEQUENCES)
    return tuple(dict.fromkeys((*lists, *age, *definition.slices)))


def slices_of(definition: DatasetDefinition, examples: pa.Table) -> dict[str, Names]:
    """``dimension -> slice name [B]``.

    User activity is the number of past events in the two sequences (they are cut at their lengths,
    so the top slice is open); item age is in days since the item was made.
    """
    events = sum(
        pc.list_value_length(examples[sequence_column(name, "item_id")]).to_numpy()
        for name in SEQUENCES
    )
    activity_slice, age_slice = DERIVED_SLICES
    result = {activity_slice: _cut(np.asarray(events), ACTIVITY_CUTS, ACTIVITY_NAMES)}
    if definition.has_item_age:
        age = examples["item_age_days"].to_numpy()
        result[age_slice] = np.where(np.isnan(age), UNKNOWN, _cut(age, AGE_CUTS, AGE_NAMES))
    for name in definition.slices:
        result[name] = _values(examples[name])
    return result


def _cut(values: NDArray[np.generic], cuts: tuple[float, ...], names: tuple[str, ...]) -> Names:
    return np.array(names, dtype=object)[np.searchsorted(cuts, values, side="right")]


def _values(column: pa.ChunkedArray) -> Names:
    if pa.types.is_floating(column.type):
        numbers = column.to_numpy()
        known = numbers[~np.isnan(numbers)]
        cuts = tuple(np.unique(np.quantile(known, (0.25, 0.5, 0.75)))) if known.size else ()
        edges = ("-inf", *(f"{cut:g}" for cut in cuts), "inf")
        names = tuple(f"[{a}, {b})" for a, b in itertools.pairwise(edges))
        return np.where(np.isnan(numbers), UNKNOWN, _cut(numbers, cuts, names))
    missing = "" if pa.types.is_string(column.type) else MISSING_INT
    values = column.to_numpy(zero_copy_only=False)
    unique, codes, counts = np.unique(values, return_inverse=True, return_counts=True)
    named: Names = np.array(
        [UNKNOWN if v == missing else _named(str(v)) for v in unique], dtype=object
    )
    named[np.argsort(-counts, kind="stable")[MOST_VALUES:]] = OTHER
    return named[codes]


def _named(value: str) -> str:
    """A value's own name; in quotes where a slice of another meaning is called so."""
    return repr(value) if value in (UNKNOWN, OTHER) or value.startswith("'") else value
