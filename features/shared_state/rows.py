"""Transformed rows in which the user's state is that of one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hemix.features.shared_state.columns import own_columns, personal_numbers
from hemix.features.shared_state.moments import Moments
from hemix.features.transform.columns import MISSING, Column
from hemix.features.transform.graph import TABLE_ROWS, TransformGraph
from hemix.spec import FeatureSpec, Side

SIDES: frozenset[Side] = frozenset({"item", "context"})
DTYPES = {"int": np.int64, "string": object, "float": np.float64}


@dataclass(frozen=True, kw_only=True)
class SharedRows:
    """What replaces the columns of a window's rows: ``own`` transformed columns of the moments' rows
    ``[G]``, ``of_row`` which of them each row has ``[B]``, ``personal`` transformed columns ``[B]``."""

    own: pa.Table
    of_row: npt.NDArray[np.int64]
    personal: Mapping[str, pa.Array]

    @staticmethod
    def of(
        spec: FeatureSpec, first: pa.Table, moments: Moments, personal: Mapping[str, pa.Array]
    ) -> SharedRows:
        """From the transformed rows of the moments.

        Args:
            spec: the contract of the transformed columns.
            first: transformed rows ``[G]`` of ``moments.first``.
            moments: the groups of the window's rows.
            personal: what :func:`transformed_personal` made, empty where the definition has no
                column of user and candidate.
        """
        own = first.select([n for n in own_columns(spec) if n in first.column_names])
        return SharedRows(own=own, of_row=moments.of_row, personal=personal)

    def __call__(self, table: pa.Table, start: int = 0) -> pa.Table:
        """The rows of ``table``, the window's from number ``start`` on, with the shared state.

        Columns that ``table`` lacks are left out.
        """
        chosen = pa.array(self.of_row[start : start + table.num_rows])
        names = table.column_names
        for name in self.own.column_names:
            if name in names:
                at = names.index(name)
                table = table.set_column(at, table.schema.field(name), self.own[name].take(chosen))
        for name, values in self.personal.items():
            if name in names:
                part = values.slice(start, table.num_rows)
                table = table.set_column(names.index(name), table.schema.field(name), part)
        return table


def transformed_personal(
    graph: TransformGraph, raw: Mapping[str, npt.NDArray[Any]]
) -> dict[str, pa.Array]:
    """The transformed columns ``[B]`` of raw columns of user and candidate; none without them."""
    numbers = personal_numbers(graph.plan, graph.definition)
    if not numbers:
        return {}
    size = len(next(iter(raw.values())))
    names = [name for n in numbers for name in (f"{n.name}_scaled", f"{n.name}_bucket")]
    parts: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
    for start in range(0, size, TABLE_ROWS):
        rows = min(TABLE_ROWS, size - start)
        columns: dict[str, Column] = {}
        for column in graph.inputs(SIDES):
            dtype = DTYPES[column.kind]
            columns[column.name] = (
                raw[column.name][start : start + rows].astype(dtype)
                if column.name in raw
                else np.full(rows, MISSING[column.kind], dtype)
            )
        made = graph.apply_columns(columns, SIDES)
        for name in names:
            parts[name].append(np.asarray(made[name]))
    return {name: pa.array(np.concatenate(values)) for name, values in parts.items()}
