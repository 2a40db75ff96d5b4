"""A made-up contract and random rows of it: for the examples in docstrings and for tests."""

from __future__ import annotations

import torch

from hemix.models.data.batch import Batch, Jagged
from hemix.spec import (
    CategoricalFeature,
    FeatureSpec,
    NumericFeature,
    SequenceColumn,
    SequenceFeature,
    TaskSpec,
    Vocabulary,
)


def toy_spec() -> FeatureSpec:
    """Two tasks, five categorical and two numeric fields, sequences of item, tag and action."""

    def sequence(name: str, length: int) -> SequenceFeature:
        roles = (("item_id", "item_id"), ("tag", "tag"), ("action", "action"))
        columns = tuple(
            SequenceColumn(role=role, column=f"{name}_{role}", vocabulary=vocabulary)
            for role, vocabulary in roles
        )
        return SequenceFeature(name=name, max_length=length, columns=columns)

    return FeatureSpec(
        tasks=(
            TaskSpec(name="click", column="label_click"),
            TaskSpec(name="long_view", column="label_long_view"),
        ),
        vocabularies=(
            Vocabulary(name="user_id", size=30),
            Vocabulary(name="item_id", size=20),
            Vocabulary(name="tag", size=7),
            Vocabulary(name="action", size=5),
            Vocabulary(name="hour", size=26),
        ),
        categorical=(
            CategoricalFeature(name="user_id", side="user", vocabulary="user_id"),
            CategoricalFeature(name="item_id", side="item", vocabulary="item_id"),
            CategoricalFeature(name="tag", side="item", vocabulary="tag"),
            CategoricalFeature(name="hour", side="context", vocabulary="hour"),
        ),
        numeric=(
            NumericFeature(name="age", side="user", bucket="age_bucket", buckets=5),
            NumericFeature(name="clicks", side="item", bucket="clicks_bucket", buckets=4),
        ),
        sequences=(sequence("global", 6), sequence("realtime", 3)),
    )


def toy_batch(*, rows: int, seed: int = 0, spec: FeatureSpec | None = None) -> Batch:
    """Random rows of ``spec`` (default :func:`toy_spec`); some sequences are empty."""
    spec = spec or toy_spec()
    random = torch.Generator().manual_seed(seed)

    def ids(size: int, count: int) -> torch.Tensor:
        return torch.randint(0, size, (count,), generator=random, dtype=torch.int32)

    lists = {}
    for sequence in spec.sequences:
        lengths = torch.randint(0, sequence.max_length + 1, (rows,), generator=random)
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        sizes = [spec.vocabulary(column.vocabulary).size for column in sequence.columns]
        values = torch.stack([ids(size, int(offsets[-1])) for size in sizes])
        lists[sequence.name] = Jagged(values=values, offsets=offsets)
    return Batch(
        size=rows,
        ids={f.name: ids(spec.vocabulary(f.vocabulary).size, rows) for f in spec.categorical}
        | {f.bucket: ids(f.buckets, rows) for f in spec.numeric},
        numbers={f.name: torch.randn(rows, generator=random) for f in spec.numeric},
        lists=lists,
        labels={t.name: ids(2, rows).float() for t in spec.tasks},
    )
