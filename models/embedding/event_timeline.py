"""A user's two sequences as one timeline, and the candidate's counterpart of an event.

Axes: B rows · b rows of a request's share: B, or 1 for all candidates of a request · L slots · C
columns of an event, S its embedding width, E of one column.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hemix.models.data.batch import Batch, Jagged
from hemix.models.embedding.tables import FeatureEmbedding
from hemix.models.layers.dense import split_axis
from hemix.spec import FeatureSpec, SequenceFeature


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """All events of a row, the latest first: ``events [B, L, S]`` of ``ids [C, B, L]``, ``mask [B, L]``
    (True = a slot in use), ``realtime [B]``: how many slots the real-time events take.
    """

    events: Tensor
    ids: Tensor
    mask: Tensor
    realtime: Tensor


def timeline_length(spec: FeatureSpec, *, separator: bool = False) -> int:
    """L of the longest :func:`timeline`."""
    return sum(sequence.max_length for sequence in spec.sequences) + separator


def timeline(embedding: FeatureEmbedding, batch: Batch, *, separator: bool = False) -> Timeline:
    """Global and real-time events as one sequence, the latest first.

    The contract's sequences are disjoint and every real-time event is later than every global one.
    Slot j is the j-th latest event however far a row is padded. ``separator`` leaves a slot of
    ids 0 between the two sequences.
    """
    sequences = embedding.spec.sequences
    assert len(sequences) == 2, "two sequences are read: global, then real-time"
    columns = [[column.vocabulary for column in sequence.columns] for sequence in sequences]
    assert columns[0] == columns[1], "both sequences need the same columns"
    older, newer = (batch.lists[sequence.name] for sequence in sequences)
    joined = _joined(older, newer, separator)
    one = SequenceFeature(
        name="timeline",
        max_length=timeline_length(embedding.spec, separator=separator),
        columns=sequences[0].columns,
    )
    events, mask = embedding.sequence(replace(batch, lists={one.name: joined}), one)
    return Timeline(events=events, ids=joined.padded()[0], mask=mask, realtime=newer.lengths)


def _joined(older: Jagged, newer: Jagged, separator: bool) -> Jagged:
    g, r, extra = older.lengths, newer.lengths, int(separator)
    lengths = g + r + extra
    offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
    row = torch.repeat_interleave(torch.arange(len(g), device=g.device), lengths)
    slot = torch.arange(len(row), device=g.device) - offsets[row]
    in_older = older.offsets[1:][row] - 1 - (slot - r[row] - extra)
    in_newer = newer.offsets[1:][row] - 1 - slot + older.values.shape[1]
    index = torch.where(slot < r[row], in_newer, in_older)
    values = torch.cat([older.values, newer.values], 1)
    if separator:
        index = index.masked_fill(slot == r[row], values.shape[1])
        values = torch.cat([values, values.new_zeros(len(values), 1)], 1)
    longest = sum(
        max(part.longest, int(part.lengths.max()) if len(part.lengths) else 0)
        for part in (older, newer)
    )
    return Jagged(values=values[:, index], offsets=offsets, longest=longest + extra)


def shared_columns(spec: FeatureSpec, sequence: SequenceFeature) -> dict[int, str]:
    """The columns of an event that the candidate has too: position -> item field."""
    fields = {field.vocabulary: field.name for field in spec.categorical if field.side == "item"}
    return {
        at: fields[column.vocabulary]
        for at, column in enumerate(sequence.columns)
        if column.vocabulary in fields
    }


def candidate(embedding: FeatureEmbedding, sequence: SequenceFeature, items: Batch) -> Tensor:
    """The candidates' :func:`shared_columns`, side by side: ``[B, C_shared * E]``."""
    shared = shared_columns(embedding.spec, sequence)
    parts = [
        embedding.lookup(sequence.columns[at].vocabulary, items.ids[field])
        for at, field in shared.items()
    ]
    result: Tensor = embedding.dropout(torch.cat(parts, -1))
    return result


def comparable(spec: FeatureSpec, sequence: SequenceFeature, events: Tensor) -> Tensor:
    """What of ``events [b, L, S]`` stands beside :func:`candidate`: ``[b, L, C_shared * E]``."""
    columns = split_axis(events, -1, (len(sequence.columns), -1))
    return columns[:, :, list(shared_columns(spec, sequence))].flatten(2)
