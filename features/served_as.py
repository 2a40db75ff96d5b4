"""Fields that are served at one stated value (``serve_as``), and rows as they are served.

What is unknown before an answer is shown (the slot) is trained with its real value and served at
the stated one. The value goes in behind everything that is made of the real one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hemix.errors import DefinitionError
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes
from hemix.features.transform.columns import MISSING, Column
from hemix.features.transform_plan import index_column

if TYPE_CHECKING:
    from hemix.features.transform.graph import TransformGraph


def require_types(definition: DatasetDefinition, types: ColumnTypes) -> None:
    """Refuse a stated value that is not of the log's type.

    Raises:
        DefinitionError: names the field, the value, and how to write it.
    """
    for name, value in definition.served_as.items():
        text = pa.types.is_string(types.context[name])
        if text and not isinstance(value, str):
            told, mend = "text", f"Write serve_as: '{value}', in quotes."
        elif not text and isinstance(value, str):
            told, mend = "numbers", "Write a number, without quotes."
        else:
            continue
        raise DefinitionError(
            f"serve_as {value!r} of {name!r}: the log's values are {told}.", hint=mend
        )


def columns_as_served(
    definition: DatasetDefinition, columns: Mapping[str, Column]
) -> dict[str, Column]:
    """Raw columns in which each field with a ``serve_as`` holds that value in every row."""
    found = dict(columns)
    for name, value in definition.served_as.items():
        if name in found:
            real = found[name]
            assert not isinstance(real, tuple), "a field is one value a row"
            found[name] = np.full(len(real), value, real.dtype)
    return found


def examples_as_served(definition: DatasetDefinition, table: pa.Table) -> pa.Table:
    """Raw examples in which each field with a ``serve_as`` holds that value in every row."""
    for name, value in definition.served_as.items():
        if name in table.column_names:
            at = table.column_names.index(name)
            kind = table.schema.field(name).type
            table = table.set_column(at, name, pa.repeat(pa.scalar(value, kind), table.num_rows))
    return table


def transformed_as_served(graph: TransformGraph, table: pa.Table) -> pa.Table:
    """Transformed rows as they would be with every ``serve_as`` in place of the real value."""
    for name, value in _transformed(graph).items():
        if name in table.column_names:
            at = table.column_names.index(name)
            kind = table.schema.field(name).type
            table = table.set_column(at, name, pa.repeat(pa.scalar(value, kind), table.num_rows))
    return table


def _transformed(graph: TransformGraph) -> dict[str, Any]:
    """The transformed columns of fields with a ``serve_as``, and what they hold then."""
    definition = graph.definition
    if not definition.served_as:
        return {}
    row: dict[str, Column] = {}
    for column in graph.inputs({"context", "item"}):
        dtype = {"int": np.int64, "string": object, "float": np.float64}[column.kind]
        row[column.name] = np.array([MISSING[column.kind]], dtype)
    made = graph.apply_columns(columns_as_served(definition, row), {"context", "item"})
    numbers = {field.name for field in definition.numeric}
    names = [
        output
        for name in definition.served_as
        for output in (
            (f"{name}_scaled", f"{name}_bucket") if name in numbers else (index_column(name),)
        )
    ]
    return {name: np.asarray(made[name]).tolist()[0] for name in names}
