"""Events without padding are the padded ones with the padding left out, dropout included."""

from __future__ import annotations

import pytest
import torch

from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig, FeatureEmbedding
from hemix.models.layers import batch_rng

DROPS = {
    "nothing": EmbeddingConfig(width=4),
    "entries": EmbeddingConfig(width=4, dropout=0.4),
    "ids": EmbeddingConfig(width=4, id_dropout=0.4, large=6),
    "both": EmbeddingConfig(width=4, dropout=0.4, id_dropout=0.4, large=6),
}


@pytest.mark.parametrize("config", DROPS.values(), ids=DROPS)
@pytest.mark.parametrize("part", [slice(0, 9), slice(2, 5)])
def test_events_are_those_of_the_padded_rows(config: EmbeddingConfig, part: slice) -> None:
    spec = toy_spec()
    embedding = FeatureEmbedding(spec, config).train()
    rows = toy_batch(rows=9).part(torch.arange(9), part)
    for sequence in spec.sequences:
        with batch_rng.batch_rows(local=part, global_size=9):
            torch.manual_seed(1)
            padded, mask = embedding.sequence(rows, sequence)
            torch.manual_seed(1)
            values, offsets = embedding.events(rows, sequence)
            order = torch.arange(len(values)).flip(0).repeat(2)
            torch.manual_seed(1)
            some, _ = embedding.events(rows, sequence, order)
        assert torch.equal(values, padded[mask])
        assert torch.equal(offsets.diff(), mask.sum(1))
        assert torch.equal(some, values[order])


def test_rows_without_events_have_none() -> None:
    embedding = FeatureEmbedding(toy_spec(), DROPS["both"]).train()
    batch, sequence = toy_batch(rows=9), toy_spec().sequences[0]
    empty = batch.take((batch.lists[sequence.name].lengths == 0).nonzero()[:, 0])
    values, offsets = embedding.events(empty, sequence)
    assert values.shape == (0, 12)
    assert offsets.tolist() == [0] * (empty.size + 1)
