"""The mean event over events without padding against the padded formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor

from hemix.models.data.batch import Batch
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig, FeatureEmbedding
from hemix.models.layers import batch_rng
from tests.models.embedding.reference_din_padded import padded_mean

CONFIGS = {
    "plain": EmbeddingConfig(width=4, std=0.5),
    "dropping": EmbeddingConfig(width=4, std=0.5, dropout=0.5, id_dropout=0.4, large=6),
}


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def flat_mean(embedding: FeatureEmbedding, batch: Batch, index: int) -> Tensor:
    return embedding.mean(batch, embedding.spec.sequences[index])


def outcome(
    formula: Callable[[FeatureEmbedding, Batch, int], Tensor],
    embedding: FeatureEmbedding,
    batch: Batch,
) -> dict[str, Tensor]:
    """Means, gradients of a weighted sum of them, and the random state afterwards."""
    embedding.zero_grad()
    torch.manual_seed(1)
    means = [formula(embedding, batch, index) for index in range(2)]
    state = torch.get_rng_state()
    flat = torch.cat([x.flatten() for x in means])
    (flat * torch.linspace(-1, 1, len(flat))).sum().backward()  # type: ignore[no-untyped-call]
    named = embedding.named_parameters()
    gradients = {name: p.grad.clone() for name, p in named if p.grad is not None}
    return {**{f"mean{i}": x.detach() for i, x in enumerate(means)}, **gradients, "rng": state}


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize("mine", [slice(0, 30), slice(7, 19), slice(4, 5)])
def test_the_mean_event_is_that_of_padded_rows(config: EmbeddingConfig, mine: slice) -> None:
    torch.manual_seed(0)
    embedding = FeatureEmbedding(toy_spec(), config).double()
    batch = toy_batch(rows=30).part(torch.arange(30), mine)
    with batch_rng.batch_rows(local=mine, global_size=30):
        expected = outcome(padded_mean, embedding, batch)
        got = outcome(flat_mean, embedding, batch)
    assert got.keys() == expected.keys()
    assert any(name.startswith("tables") for name in expected)
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-12, atol=1e-12, msg=name)


def test_the_mean_of_no_event_is_zero() -> None:
    embedding, batch = FeatureEmbedding(toy_spec(), CONFIGS["plain"]), toy_batch(rows=30)
    for sequence in embedding.spec.sequences:
        mean = embedding.mean(batch, sequence)
        empty = batch.lists[sequence.name].lengths == 0
        assert empty.any()
        assert not mean[empty].any()
        assert mean[~empty].any(2).all()
        assert embedding.mean(batch.take(empty.nonzero()[:, 0]), sequence).shape[1:] == (3, 4)


def test_a_dropped_id_becomes_its_own_hash_bucket() -> None:
    spec = toy_spec()
    vocabularies = tuple(
        v.model_copy(update={"oov_buckets": 5}) if v.name == "item_id" else v
        for v in spec.vocabularies
    )
    spec = spec.model_copy(update={"vocabularies": vocabularies})
    config = EmbeddingConfig(width=4, std=0.5, id_dropout=0.99, large=10)
    embedding = FeatureEmbedding(spec, config).train()
    batch = toy_batch(rows=30, seed=1, spec=spec)
    torch.manual_seed(0)
    plain = embedding.fields(batch)
    torch.manual_seed(0)
    with embedding.looked_up(batch):
        torch.testing.assert_close(embedding.fields(batch), plain)
    ids = batch.ids["item_id"]
    dropped = embedding._without("item_id", ids, torch.zeros(ids.shape))
    expected = [1 + int(i) % 5 if i > 0 else 0 for i in ids]
    assert dropped.tolist() == expected
