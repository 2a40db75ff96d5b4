"""Rows that no log gave, for measuring speed.

The length of a history is log-normal (median a third of the longest, sigma 1, cut at the longest, so
that one row in seven is full), that of the real-time sequence likewise with at most 20 events; ids
are Zipf-like over 100,000 items and users.
"""

from __future__ import annotations

import numpy as np
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

REALTIME = 20
SIZES = {"user": 100_000, "item": 100_000, "tag": 200, "action": 16, "hour": 26}


def made_up_spec(history: int) -> FeatureSpec:
    """Nine fields and two tasks; an event is an item, its tag and an action."""

    def sequence(name: str, longest: int) -> SequenceFeature:
        columns = tuple(
            SequenceColumn(role=role, column=f"{name}_{role}", vocabulary=role)
            for role in ("item", "tag", "action")
        )
        return SequenceFeature(name=name, max_length=longest, columns=columns)

    fields = (
        ("user", "user"), ("item", "item"), ("item", "tag"), ("context", "hour"),
    )  # fmt: skip
    numbers = ("user", "user", "item", "item", "item")
    return FeatureSpec(
        tasks=tuple(TaskSpec(name=n, column=n) for n in ("click", "long_view")),
        vocabularies=tuple(Vocabulary(name=name, size=size) for name, size in SIZES.items()),
        categorical=tuple(
            CategoricalFeature(name=name, side=side, vocabulary=name)  # type: ignore[arg-type]
            for side, name in fields
        ),
        numeric=tuple(
            NumericFeature(name=f"n{i}", side=side, bucket=f"b{i}", buckets=20)  # type: ignore[arg-type]
            for i, side in enumerate(numbers)
        ),
        sequences=(sequence("global", history), sequence("realtime", REALTIME)),
    )


def made_up_batch(spec: FeatureSpec, rows: int, seed: int, *, full: bool = False) -> Batch:
    """Rows of ``spec``; with ``full`` every sequence has its greatest length."""
    random = np.random.default_rng(seed)

    def ids(name: str, count: int) -> torch.Tensor:
        zipf = random.pareto(0.8, count) * SIZES[name] / 1000  # a few ids make up most
        return torch.from_numpy((2 + zipf % (SIZES[name] - 2)).astype(np.int32))

    lists = {}
    for sequence in spec.sequences:
        longest = sequence.max_length
        draws = random.lognormal(np.log(max(longest, 1) / 3), 1.0, rows).astype(np.int64)
        lengths = np.full(rows, longest) if full else np.clip(draws, min(1, longest), longest)
        offsets = torch.from_numpy(np.concatenate([[0], lengths.cumsum()]))
        columns = [ids(column.vocabulary, int(offsets[-1])) for column in sequence.columns]
        lists[sequence.name] = Jagged(values=torch.stack(columns), offsets=offsets)
    buckets = {f.bucket: random.integers(0, f.buckets, rows) for f in spec.numeric}
    return Batch(
        size=rows,
        ids={f.name: ids(f.vocabulary, rows) for f in spec.categorical}
        | {k: torch.from_numpy(v.astype(np.int32)) for k, v in buckets.items()},
        numbers={
            f.name: torch.from_numpy(random.standard_normal(rows).astype(np.float32))
            for f in spec.numeric
        },
        lists=lists,
        labels={
            task.name: torch.from_numpy(random.integers(0, 2, rows).astype(np.float32))
            for task in spec.tasks
        },
    )
