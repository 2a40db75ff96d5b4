"""Embeddings of fields and sequences: one table a vocabulary, shared wherever its ids appear.

Axes: ``B`` rows, ``F`` fields, ``L`` events, ``E`` embedding width, ``C`` columns of a sequence.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from hemix.models.data.batch import SIDES, Batch
from hemix.models.embedding import hashing
from hemix.models.embedding.hashing import FEWEST_ROWS
from hemix.models.embedding.lookup import Lookup
from hemix.models.embedding.widths import Alignment
from hemix.models.layers import batch_rng
from hemix.models.layers.attention.events import Events
from hemix.models.layers.dense import split_axis
from hemix.models.layers.named import Named
from hemix.spec import CategoricalFeature, FeatureSpec, SequenceFeature, Side
from hemix.texts.frozen import Frozen

UNKNOWN = 1
"""The first out-of-vocabulary bucket (0 is padding or missing)."""
BUCKETS = "/buckets"
"""The table of numbers' buckets among those of vocabularies, in a look-up."""


class EmbeddingConfig(Frozen):
    """How ids and numbers become vectors."""

    width: int = Field(default=16, ge=1)
    """E: length of an embedding vector."""
    std: float = Field(default=0.01, gt=0)
    """Standard deviation of a new table's weights."""
    direction_std: float = Field(default=0.01, gt=0)
    """Standard deviation of the new directions by which scaled numbers are multiplied."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of embedding entries dropped in training."""
    id_dropout: float = Field(default=0.0, ge=0, lt=1)
    """Share of the ids of large vocabularies that training replaces by the unknown id, so that its
    row learns what rare and new ids look like."""
    large: int = Field(default=1000, ge=1)
    """A vocabulary with more ids than this is large: `id_dropout` applies to it."""
    sparse: bool = False
    """Gradients hold only the rows that a batch touches. Needs `training.embedding_optimizer`
    adagrad, rowwise_adagrad or group_ftrl."""
    hashed: dict[str, Annotated[int, Field(ge=FEWEST_ROWS)]] = Field(default={})
    """Vocabulary -> number of rows of its table, for fewer rows than ids: frequent ids keep a row
    of their own, the others share by hash."""
    widths: dict[str, Annotated[int, Field(ge=1)]] = Field(default={})
    """Vocabulary -> width of its table, at most `width`; hemix dimensions chooses them. Rankers that
    need vectors of one width map narrow rows to it."""

    @model_validator(mode="after")
    def _narrow(self) -> EmbeddingConfig:
        for name, width in self.widths.items():
            if width > self.width:
                raise ValueError(
                    f"widths: {name} has {width}, which is more than embedding.width {self.width}"
                )
        return self

    def width_of(self, vocabulary: str) -> int:
        """d_v: how wide the rows of a vocabulary's table are."""
        return self.widths.get(vocabulary, self.width)


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

    def __init__(self, spec: FeatureSpec, config: EmbeddingConfig, *, plain: bool = False) -> None:
        """``plain``: rows of narrow tables stay as they are, with zeros behind them."""
        super().__init__()
        self.spec = spec
        self.config = config
        hashing.require_known(spec, config.widths, key="widths")
        self.tables = Named(
            {
                v.name: self._table(hashing.rows_of(v, config.hashed), config.width_of(v.name))
                for v in spec.vocabularies
                if _used(spec, v.name)
            }
        )
        hashing.require_known(spec, config.hashed)
        sizes = [f.buckets for f in spec.numeric]
        offsets = torch.tensor([0, *sizes], dtype=torch.int32).cumsum(0, dtype=torch.int32)
        self.register_buffer("bucket_offsets", offsets[:-1], persistent=False)
        self.buckets = self._table(max(sum(sizes), 1))
        self.directions = nn.Parameter(torch.randn(len(sizes), config.width) * config.direction_std)
        self.dropout = batch_rng.Dropout(config.dropout)
        self.alignment = Alignment(
            {name: config.width_of(name) for name in self.tables}, config.width, plain=plain
        )
        self._lookup: dict[int, Lookup] | None = None
        self._replaced: tuple[str, Tensor] | None = None
        self._places: dict[str, Tensor] = {}

    def _table(self, size: int, width: int | None = None) -> nn.Embedding:
        table = nn.Embedding(size, width or self.config.width, sparse=self.config.sparse)
        nn.init.normal_(table.weight, std=self.config.std)
        return table

    def field_count(self, sides: Collection[Side] = SIDES) -> int:
        """F: the number of fields of ``sides``."""
        categorical = sum(field.side in sides for field in self.spec.categorical)
        return categorical + sum(field.side in sides for field in self.spec.numeric)

    def field_names(self, sides: Collection[Side] = SIDES) -> tuple[str, ...]:
        """The fields of ``sides`` in the order of :meth:`fields`."""
        categorical = [field.name for field in self.spec.categorical if field.side in sides]
        numeric = [field.name for field in self.spec.numeric if field.side in sides]
        return (*categorical, *numeric)

    def lookup(self, vocabulary: str, ids: Tensor) -> Tensor:
        """Rows of one table: ids ``[...]`` -> ``[..., E]``."""
        return self._columns([vocabulary], [self._seen(vocabulary, ids)])[..., 0, :]

    def _seen(self, vocabulary: str, ids: Tensor) -> Tensor:
        """The ids ``[B, ...]`` that are looked up: in training a share of them is unknown."""
        if self._drops_ids(vocabulary):
            ids = self._without(vocabulary, ids, batch_rng.uniform(ids.shape, ids.device))
        return ids

    def rows(self, field: CategoricalFeature, batch: Batch) -> Tensor:
        """The rows ``[B, E]`` of one id field, none dropped."""
        return self._columns([field.vocabulary], [batch.ids[field.name]])[..., 0, :]

    @contextmanager
    def replaced(self, field: str, vectors: Tensor) -> Iterator[None]:
        """Inside, the id field ``field`` is ``vectors [B, E]`` in :meth:`fields`."""
        self._replaced = (field, vectors)
        try:
            yield
        finally:
            self._replaced = None

    @contextmanager
    def looked_up(self, batch: Batch) -> Iterator[None]:
        """Inside, all columns of ``batch`` read one matrix of the rows that it touches.

        The backward pass must end inside, too. Only ids of ``batch`` and of the states that its
        groups share can be looked up.
        """
        ids: dict[str, list[Tensor]] = {}
        for side in (batch, *batch.shared.values()):
            for field in self.spec.categorical:
                if field.name in side.ids:
                    ids.setdefault(field.vocabulary, []).append(side.ids[field.name])
            for sequence in self.spec.sequences:
                for column, values in zip(
                    sequence.columns, side.lists[sequence.name].values, strict=True
                ):
                    ids.setdefault(column.vocabulary, []).append(values)
        always = torch.tensor([0, UNKNOWN], device=self.buckets.weight.device)
        ids = {
            name: [always, *self._hashed(name, [*columns, *self._instead(name, columns)])]
            for name, columns in ids.items()
        }
        if self.spec.numeric:
            columns = [batch.ids[f.bucket] for f in self.spec.numeric]
            ids[BUCKETS] = [torch.stack(columns, 1) + self.bucket_offsets]
            for state in batch.shared.values():
                own = zip(self.spec.numeric, self.bucket_offsets, strict=True)
                ids[BUCKETS] += [state.ids[f.bucket] + o for f, o in own if f.bucket in state.ids]
        weights = {name: table.get_parameter("weight") for name, table in self.tables.items()}
        weights[BUCKETS] = self.buckets.get_parameter("weight")
        widths = {name: weights[name].shape[1] for name in ids}
        sparse = self.config.sparse
        self._lookup = lookups = {
            width: Lookup(
                weights,
                {n: i for n, i in ids.items() if widths[n] == width},
                self._places,
                sparse=sparse,
            )
            for width in dict.fromkeys(widths.values())
        }
        try:
            yield
            for lookup in lookups.values():
                lookup.close()
        except BaseException:
            for lookup in lookups.values():
                lookup.forget()
            raise
        finally:
            self._lookup = None

    def _columns(self, names: Sequence[str], ids: Sequence[Tensor]) -> Tensor:
        """One column a table of ``names``: C times ids ``[...]`` -> ``[..., C, E]``."""
        ids = [self._hashed(name, [one])[0] for name, one in zip(names, ids, strict=True)]
        widths = [self.config.width_of(name) for name in names]
        if self._lookup is None:
            parts = [self.tables[name](one) for name, one in zip(names, ids, strict=True)]
        elif set(widths) == {self.config.width}:
            return self._lookup[self.config.width](names, ids)
        else:
            parts = [ids[0]] * len(names)
            for width in dict.fromkeys(widths):
                places = [at for at, one in enumerate(widths) if one == width]
                found = self._lookup[width](
                    [names[at] for at in places], [ids[at] for at in places]
                )
                for at, part in zip(places, found.unbind(-2), strict=True):
                    parts[at] = part
        aligned = [self.alignment(name, part) for name, part in zip(names, parts, strict=True)]
        return torch.stack(aligned, -2)

    def _hashed(self, vocabulary: str, ids: Sequence[Tensor]) -> list[Tensor]:
        size, rows = self.spec.vocabulary(vocabulary).size, self.config.hashed.get(vocabulary)
        return list(ids) if rows is None or rows >= size else [hashing.rows(i, rows) for i in ids]

    def _drops_ids(self, vocabulary: str) -> bool:
        large = self.spec.vocabulary(vocabulary).size > self.config.large
        return self.training and self.config.id_dropout > 0 and large

    def _buckets_of(self, vocabulary: str) -> int:
        return self.spec.vocabulary(vocabulary).oov_buckets

    def _instead(self, vocabulary: str, ids: Sequence[Tensor]) -> list[Tensor]:
        """The unknown ids that these may be replaced by in training, where there are several."""
        buckets = self._buckets_of(vocabulary)
        if buckets <= 1 or not self._drops_ids(vocabulary):
            return []
        return [UNKNOWN + one % buckets for one in ids]

    def _without(self, vocabulary: str, ids: Tensor, chances: Tensor) -> Tensor:
        """A share of the ids as unknown ones; the same value is always the same unknown."""
        drop = (chances < self.config.id_dropout) & (ids > 0)
        buckets = self._buckets_of(vocabulary)
        if buckets <= 1:
            return ids.masked_fill(drop, UNKNOWN)
        return torch.where(drop, UNKNOWN + ids % buckets, ids)

    def fields(self, batch: Batch, sides: Collection[Side] = SIDES) -> Tensor:
        """The fields of ``sides``, categorical before numeric: ``[B, F, E]``."""
        named = [field for field in self.spec.categorical if field.side in sides]
        names = [field.vocabulary for field in named]
        ids = [self._seen(field.vocabulary, batch.ids[field.name]) for field in named]
        vectors = [self._columns(names, ids)] if named else []
        if self._replaced is not None and (place := _place(named, self._replaced[0])) is not None:
            other = self._replaced[1][:, None].to(vectors[0])
            vectors = [torch.cat([vectors[0][:, :place], other, vectors[0][:, place + 1 :]], 1)]
        chosen = [i for i, field in enumerate(self.spec.numeric) if field.side in sides]
        if chosen:
            numeric = [self.spec.numeric[i] for i in chosen]
            ids_BF = torch.stack([batch.ids[f.bucket] for f in numeric], dim=1)
            x_BF = torch.stack([batch.numbers[f.name] for f in numeric], dim=1)
            ids_BF = ids_BF + self.bucket_offsets[chosen]
            bucket_BFE: Tensor = (
                self.buckets(ids_BF)
                if self._lookup is None
                else self._lookup[self.config.width]([BUCKETS], [ids_BF])[..., 0, :]
            )
            vectors.append(bucket_BFE + x_BF[:, :, None] * self.directions[chosen])
        if not vectors:
            return self.directions.new_zeros(batch.size, 0, self.config.width)
        result: Tensor = self.dropout(torch.cat(vectors, dim=1))
        return result

    def events(
        self, batch: Batch, sequence: SequenceFeature, order: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Events ``[T, C * E]`` of all rows without padding, and the rows' offsets ``[B + 1]``.

        ``order`` (int64 ``[T']``) takes these of the T events, in that order; one may stand in
        several places. What is dropped in training is what :meth:`sequence` drops.
        """
        lists = batch.lists[sequence.name]
        ids = lists.values
        names = [column.vocabulary for column in sequence.columns]
        if any(self._drops_ids(name) for name in names):
            ids = torch.stack(
                [
                    self._without(name, one, batch_rng.uniform_events(lists.offsets, lists.longest))
                    if self._drops_ids(name)
                    else one
                    for name, one in zip(names, ids, strict=True)
                ]
            )
        ids = ids if order is None else ids[:, order]
        values = self._columns(names, list(ids)).flatten(-2)
        if self.training and self.dropout.p:
            share = batch_rng.dropout_events(
                self.dropout, lists.offsets, lists.longest, values.shape[1]
            )
            values = values * (share if order is None else share[order])
        return values, lists.offsets

    def sequence(
        self, batch: Batch, sequence: SequenceFeature, length: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Events ``[B, L, C * E]``, columns side by side, and the mask ``[B, L]`` (True = event)."""
        ids_CBL, mask = batch.lists[sequence.name].padded(length)
        names = [column.vocabulary for column in sequence.columns]
        ids = [self._seen(name, one) for name, one in zip(names, ids_CBL, strict=True)]
        events: Tensor = self.dropout(self._columns(names, ids).flatten(-2))
        return events, mask

    def mean(self, batch: Batch, sequence: SequenceFeature) -> Tensor:
        """The mean event of a row, column by column: ``[B, C, E]``, 0 when there is none."""
        values, offsets = self.events(batch, sequence)
        sums = Events(values=values, offsets=offsets).sums(values)
        mean = sums / offsets.diff()[:, None].clamp(min=1)
        return split_axis(mean, 1, (len(sequence.columns), -1))


def _place(fields: Sequence[CategoricalFeature], name: str) -> int | None:
    return next((place for place, field in enumerate(fields) if field.name == name), None)


def _used(spec: FeatureSpec, vocabulary: str) -> bool:
    names = {f.vocabulary for f in spec.categorical}
    names |= {c.vocabulary for s in spec.sequences for c in s.columns}
    return vocabulary in names
