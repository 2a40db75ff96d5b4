"""DIN's attention over events without padding against the padded formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

import hemix.models.embedding.target_attention
from hemix.models.data.batch import Batch, Jagged
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig, FeatureEmbedding
from hemix.models.embedding.target_attention import Encoded, InterestAttention, SequenceInterest
from hemix.models.layers import batch_rng
from hemix.models.layers.attention.events import Events
from hemix.models.rankers.registry import build
from hemix.models.training.recipes import recipe_of
from hemix.spec import FeatureSpec, SequenceColumn, SequenceFeature
from tests.models.embedding.reference_din_padded import padded_interest

PLAIN = EmbeddingConfig(width=4, std=0.5)
DROPPING = PLAIN.model_copy(update={"dropout": 0.5, "id_dropout": 0.4, "large": 6})


@pytest.fixture(autouse=True)
def _deterministic() -> Iterator[None]:
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


def of_columns(*names: str) -> FeatureSpec:
    """The toy contract with these columns, in that order, in both sequences."""
    spec = toy_spec()
    columns = {column.vocabulary: column for column in spec.sequences[0].columns}
    chosen = tuple(columns[name] for name in names)
    sequences = tuple(replace_columns(sequence, chosen) for sequence in spec.sequences)
    return spec.model_copy(update={"sequences": sequences})


def replace_columns(
    sequence: SequenceFeature, columns: tuple[SequenceColumn, ...]
) -> SequenceFeature:
    return sequence.model_copy(update={"columns": columns})


SPECS = {
    "shared first": of_columns("item_id", "tag", "action"),
    "shared last": of_columns("action", "item_id", "tag"),
    "all shared": of_columns("tag", "item_id"),
    "none shared": of_columns("action"),
}


def make(
    spec: FeatureSpec, config: EmbeddingConfig = PLAIN
) -> tuple[FeatureEmbedding, list[SequenceInterest]]:
    """In float64, no bias left at 0."""
    torch.manual_seed(0)
    embedding = FeatureEmbedding(spec, config)
    readers = [SequenceInterest(spec, one, config.width, (6, 4)) for one in spec.sequences]
    with torch.no_grad():
        for parameter in nn.ModuleList(readers).parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return embedding.double(), [one.double() for one in readers]


def flat_interest(one: SequenceInterest, embedding: FeatureEmbedding, batch: Batch) -> Tensor:
    return one.of(embedding, one.events(embedding, batch), batch)


def outcome(
    formula: Callable[[SequenceInterest, FeatureEmbedding, Batch], Tensor],
    made: tuple[FeatureEmbedding, list[SequenceInterest]],
    batch: Batch,
) -> dict[str, Tensor]:
    """Interests, gradients of a weighted sum of them, and the random state afterwards."""
    embedding, readers = made
    modules = nn.ModuleList([embedding, *readers])
    modules.zero_grad()
    torch.manual_seed(1)
    found = [formula(one, embedding, batch) for one in readers]
    state = torch.get_rng_state()
    flat = torch.cat([x.flatten() for x in found])
    (flat * torch.linspace(-1, 1, len(flat))).sum().backward()  # type: ignore[no-untyped-call]
    named = modules.named_parameters()
    gradients = {name: p.grad.clone() for name, p in named if p.grad is not None}
    return {**{f"interest{i}": x.detach() for i, x in enumerate(found)}, **gradients, "rng": state}


def assert_equal(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert got.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(got[name], value, rtol=1e-10, atol=1e-10, msg=name)


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("config", [PLAIN, DROPPING], ids=["plain", "dropping"])
def test_equals_the_padded_formula(spec: FeatureSpec, config: EmbeddingConfig) -> None:
    made, batch = make(spec, config), toy_batch(rows=40, spec=spec)
    assert (batch.lists["global"].lengths == 0).any()
    expected = outcome(padded_interest, made, batch)
    assert_equal(outcome(flat_interest, made, batch), expected)
    assert any("score" in name for name in expected)
    again = outcome(flat_interest, made, batch)
    assert all(torch.equal(again[k], v) for k, v in outcome(flat_interest, made, batch).items())


def test_a_part_of_a_batch_draws_what_the_padded_part_draws() -> None:
    made, rows = make(toy_spec(), DROPPING), slice(3, 11)
    part = toy_batch(rows=20).part(torch.arange(20), rows)
    with batch_rng.batch_rows(local=rows, global_size=20):
        expected = outcome(padded_interest, made, part)
        assert_equal(outcome(flat_interest, made, part), expected)


def test_rows_without_any_event_have_no_interest() -> None:
    (embedding, readers), batch = make(toy_spec()), toy_batch(rows=5)
    batch = replace(batch, lists={k: without_events(v) for k, v in batch.lists.items()})
    for one in readers:
        assert torch.equal(flat_interest(one, embedding, batch), torch.zeros(5, 12).double())
        request = batch.take(torch.tensor([2]))
        found = one.of(embedding, one.events(embedding, request), batch)
        assert torch.equal(found, torch.zeros(5, 12).double())


def without_events(lists: Jagged) -> Jagged:
    return Jagged(values=lists.values[:, :0], offsets=torch.zeros_like(lists.offsets))


@pytest.mark.parametrize("room", [1, 100, 10**6])
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_a_request_is_read_by_all_candidates_as_by_rows_of_its_own(
    spec: FeatureSpec, room: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hemix.models.embedding.target_attention, "ROOM", room)
    made, items = make(spec), toy_batch(rows=13, seed=2, spec=spec)
    full = replace(items, lists=toy_batch(rows=9, spec=spec).take(torch.tensor([4] * 13)).lists)
    assert all(lists.lengths[0] for lists in full.lists.values())
    request = full.take(torch.tensor([0]))

    def once(one: SequenceInterest, embedding: FeatureEmbedding, batch: Batch) -> Tensor:
        return one.of(embedding, one.events(embedding, request), batch)

    expected = outcome(padded_interest, made, full)
    assert_equal(outcome(once, made, full), expected)


def encoded(events: int) -> tuple[InterestAttention, Encoded]:
    attention = InterestAttention(shared=4, extra=2, hidden=(8, 3))
    values, offsets = torch.randn(events, 6), torch.tensor([0, events])
    return attention, attention.encode(Events(values=values, offsets=offsets))


def test_candidates_are_read_so_many_at_a_time_that_memory_is_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(hemix.models.embedding.target_attention, "ROOM", 1000)
    attention, seen = encoded(events=20)
    sizes: list[int] = []
    attention.score.mlp.net[1].register_forward_hook(
        lambda _module, _inputs, hidden: sizes.append(hidden.numel())
    )
    assert attention.read(seen, torch.randn(50, 4)).shape == (50, 6)
    assert max(sizes) <= 1000
    assert sum(sizes) == 50 * 20 * 8


def test_no_candidate_has_no_interest() -> None:
    attention, seen = encoded(events=20)
    assert attention.read(seen, torch.randn(0, 4)).shape == (0, 6)


@pytest.mark.parametrize(
    "name",
    ["autoint", "dcnv2", "din", "dlrm", "hiformer", "rankmixer", "tokenmixer_large", "wukong"],
)
@pytest.mark.parametrize("rows", [1, 8])
def test_rankers_that_do_not_pad(name: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def padded(*_: object) -> None:
        raise AssertionError("rows were padded")

    monkeypatch.setattr(Jagged, "padded", padded)
    recipe = recipe_of(name)
    model = build(recipe.ranker, toy_spec(), recipe.model).train()
    sum(logit.sum() for logit in model(toy_batch(rows=rows)).values()).backward()
