"""One look-up for all columns of a batch: the rows it touches, once each, side by side in one matrix.

Axes: ``U`` rows that a batch touches, of all tables together, ``E`` their width, ``C`` columns.

An item's table is read by the candidate and by every sequence, and popular rows many times. Here
the ids of all columns of a table are joined and each row is gathered once, ``[U, E]``; columns then
read that small matrix, all of them in one gather that lays them side by side. The backward pass adds
up gradients in ``[U, E]``; a table that takes sparse gradients gets its rows from there, already
summed, and one that takes dense gradients gets one gradient ``[V, E]`` and not one a column.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

ABSENT = torch.iinfo(torch.int32).max
"""Where a row that the batch does not touch lies: an index that no matrix has."""
SCAN = 8
"""A table of at most this many rows per looked-up id is scanned for touched rows; for a larger one the ids are sorted."""


class Lookup:
    """The rows of one batch.

    ``weights``: ``[V, E]`` a table; ``ids``: for each table the ids ``[...]`` of all columns that
    read it.
    ``places`` is kept between batches: int32 ``[V]`` a table, :data:`ABSENT` everywhere.
    With ``sparse`` the matrix is a leaf whose gradient :meth:`close` hands on to the tables.
    """

    def __init__(
        self,
        weights: Mapping[str, nn.Parameter],
        ids: Mapping[str, Sequence[Tensor]],
        places: dict[str, Tensor],
        *,
        sparse: bool,
    ) -> None:
        self.weights, self.sparse = weights, sparse
        self.places = places
        self.touched: dict[str, Tensor] = {}
        start = 0
        for name, columns in ids.items():
            if name not in places:
                table = weights[name]
                places[name] = torch.full((len(table),), ABSENT, dtype=torch.int32).to(table.device)
            rows = _touched(places[name], columns)
            places[name][rows] = torch.arange(
                start, start + len(rows), dtype=torch.int32, device=rows.device
            )
            self.touched[name] = rows
            start += len(rows)
        parts = [
            (weights[name].detach() if sparse else weights[name]).index_select(0, rows)
            for name, rows in self.touched.items()
        ]
        self.vectors = torch.cat(parts)
        if sparse:
            self.vectors.requires_grad_()

    def __call__(self, names: Sequence[str], ids: Sequence[Tensor]) -> Tensor:
        """One column a table of ``names``: C times ids ``[...]`` -> ``[..., C, E]``."""
        places = [
            self.places[name].index_select(0, one.flatten()).view(one.shape)
            for name, one in zip(names, ids, strict=True)
        ]
        at = torch.stack(places, -1)
        if at.device.type == "cpu":  # a gradient by int64 indices is added up five times faster
            flat = self.vectors.index_select(0, at.flatten().long())
            return flat.view(*at.shape, self.vectors.shape[1])
        vectors: Tensor = fn.embedding(at, self.vectors)
        return vectors

    def close(self) -> None:
        """Hand the gradients on, added to what the tables have, and forget the batch."""
        if self.sparse and self.vectors.grad is not None:
            counts = [len(rows) for rows in self.touched.values()]
            parts = torch.split(self.vectors.grad, counts)
            for (name, rows), part in zip(self.touched.items(), parts, strict=True):
                weight = self.weights[name]
                gradient = torch.sparse_coo_tensor(
                    rows[None], part, weight.shape, is_coalesced=True, check_invariants=False
                )
                weight.grad = gradient if weight.grad is None else weight.grad + gradient
        self.forget()

    def forget(self) -> None:
        """Make the places ready for another batch."""
        for name, rows in self.touched.items():
            self.places[name][rows] = ABSENT


def _touched(places: Tensor, columns: Sequence[Tensor]) -> Tensor:
    """The different ids of ``columns`` in rising order, int64 ``[U]``; ``places`` may be written."""
    flat = torch.cat([column.flatten() for column in columns]).long()
    if len(places) > SCAN * len(flat):
        return torch.unique(flat)
    places[flat] = 0
    return (places == 0).nonzero()[:, 0]
