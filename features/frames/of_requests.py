"""Raw rows of a caller's frame, with the statistics within the request that the frame does not hold.

The endpoint sees the candidates of a request together and works out how each stands among them;
the rows of a frame say which request they are of.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from hemix.errors import DataError
from hemix.features.definition import DatasetDefinition
from hemix.features.derived.among_candidates import within_request
from hemix.features.frames.reading import arrow_column, as_table, column_names
from hemix.features.transform_plan import RawColumn

KEYS = ("request_id", "user_id", "event_time")
"""Rows that share those of them that the frame holds are the candidates of one request."""


def raw_rows(
    frame: Any, needed: Sequence[RawColumn], definition: DatasetDefinition | None = None
) -> pa.Table:
    """The ``needed`` columns of a pandas, polars or Arrow frame, in the transform's own types.

    Statistics within the request that it lacks are made of its rows, by the function that makes them
    for examples and requests, whatever the order of the rows.

    Args:
        frame: raw rows.
        needed: the columns, in order.
        definition: says of what the statistics are made; None: every column must be there.

    Raises:
        DataError: a column is absent that no other tells (all are named), the frame does not say which
            rows are of one request, or a column holds what would have to be guessed.
    """
    held = column_names(frame)
    derived = () if definition is None else definition.within_request_columns
    absent = {c.name for c in needed if c.name in derived and c.name not in held}
    if definition is None or not absent:
        return as_table(frame, needed)
    table = as_table(frame, [column for column in needed if column.name not in absent])
    requests = _requests(frame, held, sorted(absent))
    made: dict[str, npt.NDArray[np.float64]] = {}
    for one in definition.within_request:
        if wanted := [s for s in one.statistics if one.column(s) in absent]:
            values = table[one.of].to_numpy()
            found = within_request(values, requests, wanted)
            made |= {one.column(statistic): found[statistic] for statistic in wanted}
    columns = [pa.array(made[c.name]) if c.name in made else table[c.name] for c in needed]
    return pa.table(columns, names=[column.name for column in needed])


def _requests(frame: Any, held: set[str], absent: list[str]) -> npt.NDArray[np.int64]:
    """The number of each row's request, ``[N]``."""
    keys = [key for key in KEYS if key in held]
    if "request_id" not in keys and len(keys) < 2:
        raise DataError(
            f"The frame lacks {', '.join(absent)}, and does not say which rows are of one request.",
            hint="Give request_id, or user_id and event_time; or the columns themselves.",
        )
    numbers = []
    for key in keys:
        values = arrow_column(frame, key, "value")
        if values.null_count:
            row = pc.index(values.is_null(), True).as_py()
            raise DataError(
                f"The frame's column {key!r} is missing in row {row + 1}, so that {absent[0]} "
                "cannot be made.",
                hint="Give every row its request, or leave the column out.",
            )
        values = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
        if not pa.types.is_dictionary(values.type):
            values = values.dictionary_encode()
        numbers.append(values.indices.to_numpy(zero_copy_only=False).astype(np.int64))
    return np.unique(np.stack(numbers, axis=1), axis=0, return_inverse=True)[1].reshape(-1)
