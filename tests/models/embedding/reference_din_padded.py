"""What DIN's attention and the mean event are, over rows padded to the longest of a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.embedding.tables import FeatureEmbedding
from hemix.models.embedding.target_attention import SequenceInterest
from hemix.models.layers.dense import split_axis


def padded_interest(one: SequenceInterest, embedding: FeatureEmbedding, batch: Batch) -> Tensor:
    """The interest ``[B, V]`` of each row in its own candidate, from ``[e, t, e - t, e * t, x]``."""
    events, mask = embedding.sequence(batch, one.sequence)
    columns = split_axis(events, -1, (len(one.sequence.columns), -1))
    shared, others = one.columns[: len(one.target)], one.columns[len(one.target) :]
    event, extra = columns[:, :, shared].flatten(2), columns[:, :, others].flatten(2)
    parts = [embedding.lookup(name, batch.ids[field]) for name, field in one.target]
    target = torch.cat(parts, -1)[:, None].expand_as(event) if parts else event
    inputs = torch.cat([event, target, event - target, event * target, extra], -1)
    weight_BL = one.score(inputs) * mask
    return torch.einsum("bl,blv->bv", weight_BL, torch.cat([event, extra], -1))


def padded_mean(embedding: FeatureEmbedding, batch: Batch, index: int) -> Tensor:
    """The mean event ``[B, C, E]`` of sequence ``index``."""
    sequence = embedding.spec.sequences[index]
    events, mask = embedding.sequence(batch, sequence)
    mean = (events * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
    return split_axis(mean, 1, (len(sequence.columns), -1))
