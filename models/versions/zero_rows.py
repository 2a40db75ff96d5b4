"""Rows of tables that are all 0 are not stored: a table's other rows stand beside their numbers.

``embedding.tables.item.weight`` ``[V, E]`` becomes ``...weight#rows`` (int32 ``[K]``) and
``...weight#values`` ``[K, E]`` where that is smaller. When a version is loaded the table is whole
again, so a row of zeros costs a look-up what any other does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

ROWS, VALUES = "#rows", "#values"


def packed(weights: Mapping[str, Tensor], tables: Iterable[str]) -> dict[str, Tensor]:
    """``weights`` without the zero rows of ``tables``.

    Example:
        >>> sorted(packed({"a": torch.eye(3, 9)[[0, 0]] * 0}, ["a"]))
        ['a#rows', 'a#values']
    """
    result = dict(weights)
    for name in tables:
        table = weights[name]
        rows = table.any(1).nonzero()[:, 0].to(torch.int32)
        kept = len(rows) * (rows.element_size() + table.shape[1] * table.element_size())
        if kept < table.nbytes:
            del result[name]
            result[name + ROWS], result[name + VALUES] = rows, table[rows.long()].contiguous()
    return result


def whole(stored: Mapping[str, Tensor], shapes: Mapping[str, torch.Size]) -> dict[str, Tensor]:
    """The weights that :func:`packed` made ``stored`` of; ``shapes`` are the ranker's.

    Raises:
        RuntimeError: rows do not fit a table of these shapes.
    """
    result = {name: w for name, w in stored.items() if not name.endswith((ROWS, VALUES))}
    for key in stored:
        if not key.endswith(ROWS):
            continue
        name = key.removesuffix(ROWS)
        rows, values = stored[key].long(), stored.get(name + VALUES)
        shape = shapes.get(name)
        if (
            shape is None
            or values is None
            or rows.ndim != 1
            or values.shape != (len(rows), *shape[1:])
            or (len(rows) and not 0 <= int(rows.min()) <= int(rows.max()) < shape[0])
        ):
            raise RuntimeError(f"the rows of {name} do not fit its table")
        result[name] = values.new_zeros(shape).index_copy_(0, rows, values)
    return result
