"""Embeddings of fields and sequences: one table a vocabulary, shared wherever its ids appear.

Axes: ``B`` rows, ``F`` fields, ``L`` events, ``E`` embedding width, ``C`` columns of a sequence.
"""

from __future__ import annotations

from collections.abc import Collection

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from hemix.spec import FeatureSpec, SequenceFeature, Side
from models import chance
from models.batch import SIDES, Batch
from models.layers import split_axis

UNKNOWN = 1
"""The first out-of-vocabulary bucket (0 is padding or missing)."""


class EmbeddingConfig(BaseModel):
    """How ids and numbers become vectors.

    ``width``: E. ``std``: standard deviation of new tables,
    ``direction_std`` of the directions of numbers. ``dropout``: share of embedding
    entries dropped in training. ``id_dropout``: share of ids of large vocabularies (more than
    ``large`` ids) that training replaces by the unknown id, so that the unknown id learns what
    rare and new values look like. ``sparse``: gradients touch only the rows of a batch.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(default=16, ge=1)
    std: float = Field(default=0.01, gt=0)
    direction_std: float = Field(default=0.01, gt=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    id_dropout: float = Field(default=0.0, ge=0, lt=1)
    large: int = Field(default=1000, ge=1)
    sparse: bool = False


class FeatureEmbedding(nn.Module):
    """Embeds every field of a :class:`FeatureSpec`.

    A categorical field is a row of its vocabulary's table. A numeric field with scaled value x and
    bucket b is ``bucket_table[b] + x * direction``: the bucket bends, the direction extrapolates.

    Example:
        >>> embedding = FeatureEmbedding(spec, EmbeddingConfig(width=8))  # doctest: +SKIP
        >>> embedding.fields(batch).shape  # doctest: +SKIP
        torch.Size([B, F, 8])
    """

    bucket_offsets: Tensor

    def __init__(self, spec: FeatureSpec, config: EmbeddingConfig) -> None:
        super().__init__()
        self.spec = spec
        self.config = config
        self.tables = nn.ModuleDict(
            {v.name: self._table(v.size) for v in spec.vocabularies if _used(spec, v.name)}
        )
        sizes = [f.buckets for f in spec.numeric]
        offsets = torch.tensor([0, *sizes], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        self.register_buffer("bucket_offsets", offsets[:-1], persistent=False)
        self.buckets = self._table(max(sum(sizes), 1))
        self.directions = nn.Parameter(torch.randn(len(sizes), config.width) * config.direction_std)
        self.dropout = chance.Dropout(config.dropout)

    def _table(self, size: int) -> nn.Embedding:
        table = nn.Embedding(size, self.config.width, sparse=self.config.sparse)
        nn.init.normal_(table.weight, std=self.config.std)
        return table

    def field_count(self, sides: Collection[Side] = SIDES) -> int:
        """F: the number of fields of ``sides``."""
        categorical = sum(field.side in sides for field in self.spec.categorical)
        return categorical + sum(field.side in sides for field in self.spec.numeric)

    def lookup(self, vocabulary: str, ids: Tensor) -> Tensor:
        """Rows of one table: ids ``[...]`` -> ``[..., E]``."""
        share = self.config.id_dropout
        if self.training and share and self.spec.vocabulary(vocabulary).size > self.config.large:
            drop = chance.uniform(ids.shape, ids.device) < share
            ids = ids.masked_fill(drop & (ids > 0), UNKNOWN)
        vectors: Tensor = self.tables[vocabulary](ids)
        return vectors

    def fields(self, batch: Batch, sides: Collection[Side] = SIDES) -> Tensor:
        """The fields of ``sides``, categorical before numeric: ``[B, F, E]``."""
        parts = [
            self.lookup(field.vocabulary, batch.ids[field.name])
            for field in self.spec.categorical
            if field.side in sides
        ]
        vectors = [torch.stack(parts, dim=1)] if parts else []
        chosen = [i for i, field in enumerate(self.spec.numeric) if field.side in sides]
        if chosen:
            numeric = [self.spec.numeric[i] for i in chosen]
            ids_BF = torch.stack([batch.ids[f.bucket] for f in numeric], dim=1)
            x_BF = torch.stack([batch.numbers[f.name] for f in numeric], dim=1)
            bucket_BFE = self.buckets(ids_BF + self.bucket_offsets[chosen])
            vectors.append(bucket_BFE + x_BF[:, :, None] * self.directions[chosen])
        if not vectors:
            return self.directions.new_zeros(batch.size, 0, self.config.width)
        result: Tensor = self.dropout(torch.cat(vectors, dim=1))
        return result

    def sequence(
        self, batch: Batch, sequence: SequenceFeature, length: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Events ``[B, L, C * E]``, columns side by side, and the mask ``[B, L]`` (True = event)."""
        ids_CBL, mask = batch.lists[sequence.name].padded(length)
        columns = zip(sequence.columns, ids_CBL, strict=True)
        parts = [self.lookup(column.vocabulary, ids) for column, ids in columns]
        events: Tensor = self.dropout(torch.cat(parts, dim=-1))
        return events, mask

    def mean(self, batch: Batch, sequence: SequenceFeature) -> Tensor:
        """The mean event of a row, column by column: ``[B, C, E]``, 0 when there is none."""
        events, mask = self.sequence(batch, sequence)
        mean = (events * mask[:, :, None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)
        return split_axis(mean, 1, (len(sequence.columns), -1))


def _used(spec: FeatureSpec, vocabulary: str) -> bool:
    names = {f.vocabulary for f in spec.categorical}
    names |= {c.vocabulary for s in spec.sequences for c in s.columns}
    return vocabulary in names
