"""Attention without keys and values is attention: outputs, gradients, memory, layouts, costs."""

from __future__ import annotations

import doctest
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hemix.models.layers.attention import layout as layouts
from hemix.models.layers.attention import mixed
from hemix.models.layers.attention.events import Events
from hemix.models.layers.attention.fold import merges
from hemix.models.layers.attention.layout import plan
from hemix.models.layers.attention.mixed import (
    EncodedSequence,
    MixedAttentionShape,
    MixedHeteroAttention,
    folding_pays,
)
from hemix.models.layers.attention.tiled import attend
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.hemix.variants import RecentQueries, attention_shape
from tests.models.layers.attention.plain_attention import plain_attention

S, D, LENGTHS = 5, 8, (3, 0, 1, 7, 2, 7)


def build(kind: type[MixedHeteroAttention] = MixedHeteroAttention, **fields: Any) -> Any:
    """An attention over events of width S (through a projection to D when separate)."""
    torch.manual_seed(0)
    config = HeMixConfig(token_width=D, attention_heads=2, **fields)
    separate = config.item_projection == "separate"
    module = kind(attention_shape(config, "global", D if separate else S, max(LENGTHS))).double()
    for parameter in module.parameters():
        nn.init.normal_(parameter)
    project = nn.Linear(S, D).double() if separate else None
    return module, project


def data(lengths: tuple[int, ...] = LENGTHS, *, dynamic: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Values, offsets and NS tokens."""
    torch.manual_seed(1)
    values = torch.randn(sum(lengths), S, dtype=torch.float64, requires_grad=True)
    tokens = torch.randn(len(lengths), dynamic, D, dtype=torch.float64, requires_grad=True)
    return values, torch.tensor([0, *lengths]).cumsum(0), tokens


CASES: dict[str, dict[str, Any]] = {
    "faithful": {},
    "without a null item": {"null_item": False},
    "item projection of its own": {"item_projection": "separate"},
    "that, without a null item": {"item_projection": "separate", "null_item": False},
    "zeros as the null item": {"null_form": "zero"},
    "padding as null items": {"null_form": "padding"},
    "that, item projection of its own": {"null_form": "padding", "item_projection": "separate"},
    "one query projection": {"query_projection": "shared"},
    "without dynamic queries": {"dynamic_queries": False},
    "without fixed queries": {"fixed_global": 0},
    "recent events": {"kind": RecentQueries},
    "recent events, projected": {"kind": RecentQueries, "item_projection": "separate"},
}


@pytest.mark.parametrize("one_product", [True, False])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_outputs_and_gradients_are_those_of_keys_and_values(
    case: dict[str, Any], one_product: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hemix.models.layers.attention.fold.merges", lambda *_: one_product)
    module, project = build(**case)
    values, offsets, tokens = data()
    events = Events(values=values, offsets=offsets, project=project)
    learnt = [p for part in (module, project) if part for p in part.parameters() if p.numel()]
    inputs = [values, tokens, *learnt] if module.dynamic else [values, *learnt]
    results = [
        read(events, tokens) for read in (module.read, lambda *a: plain_attention(module, *a))
    ]
    torch.testing.assert_close(*results, rtol=0, atol=1e-10)
    towards = torch.randn_like(results[0])
    ours, plain = (torch.autograd.grad(result, inputs, towards) for result in results)
    for mine, theirs in zip(ours, plain, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-10)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_request_s_share_and_then_its_candidates_read_the_same(case: dict[str, Any]) -> None:
    module, project = build(**case)
    values, offsets, tokens = data()
    events = Events(values=values, offsets=offsets, project=project)
    apart = module(module.encode(events), tokens)
    torch.testing.assert_close(apart, module.read(events, tokens), rtol=0, atol=1e-10)


@pytest.mark.parametrize("length", [0, 1, 7])
@pytest.mark.parametrize("folds", [True, False])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_one_request_serves_its_candidates_with_keys_or_without(
    case: dict[str, Any], folds: bool, length: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mixed, "folding_pays", lambda *_, **__: folds)
    module, project = build(**case)
    values, offsets, _ = data((length,))
    _, _, tokens = data((length,) * 4)
    got = module(module.encode(Events(values=values, offsets=offsets, project=project)), tokens)
    rows = Events(values=values.repeat(4, 1), offsets=torch.arange(5) * length, project=project)
    torch.testing.assert_close(got, plain_attention(module, rows, tokens), rtol=0, atol=1e-10)


def test_keys_are_made_when_they_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    plain = MixedHeteroAttention.keys_values
    monkeypatch.setattr(MixedHeteroAttention, "keys_values", lambda *a: made.append(1) or plain(*a))
    module, _ = build()
    values, offsets, _ = data((30,))
    seen = module.encode(Events(values=values, offsets=offsets))
    assert isinstance(seen, EncodedSequence)
    for candidates, expected in ((1, []), (400, [1])):
        module(seen, torch.zeros(candidates, 2, D, dtype=torch.float64))
        assert made == expected
    # 2 Q S (D + L A) against 2 L S D + 2 Q L D.
    assert folding_pays(10, 30, width=8, heads=2, event_width=5) == (
        10 * 5 * (8 + 30 * 2) <= 30 * 5 * 8 + 10 * 30 * 8
    )
    # Narrow events: never worth keys. Wide ones: soon.
    assert folding_pays(10**6, 1000, width=256, heads=2, event_width=48)
    assert not folding_pays(10**3, 1000, width=32, heads=2, event_width=48)


def test_one_product_when_it_is_cheaper() -> None:
    assert merges(512, 256, 2, 48)
    assert not merges(16, 256, 2, 48)  # few rows do not pay for the product of the weights
    assert not merges(10**6, 128, 4, 128)


@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("width", [2, 3, 256])
def test_gradients_equal_finite_differences(null: bool, width: int) -> None:
    values, offsets, _ = data()
    layout = plan(offsets, width=width)
    q = torch.randn(len(LENGTHS), 3, S, dtype=torch.float64, requires_grad=True)
    score = torch.randn(len(LENGTHS), 3, dtype=torch.float64, requires_grad=True)

    def read(*inputs: Tensor) -> tuple[Tensor, Tensor]:
        q, values, score = inputs
        return attend(q, score if null else None, values[layout.order], layout)

    assert torch.autograd.gradcheck(read, (q, values, score))


def test_large_scores_do_not_overflow() -> None:
    values, offsets, _ = data()
    layout = plan(offsets, width=2)
    q = torch.full((len(LENGTHS), 1, S), 1e4, dtype=torch.float64)
    read, weight = attend(q, q.new_zeros(len(LENGTHS), 1), values[layout.order], layout)
    assert torch.isfinite(read).all()
    assert torch.isfinite(weight).all()
    assert weight[1].item() == 1  # the row without events


def test_nothing_as_wide_as_a_token_is_kept_for_an_event() -> None:
    """Of every event the backward pass keeps its embedding, and not a key, a value or a weight."""
    width, heads, length = 64, 2, 512
    shape = MixedAttentionShape(width=width, event_width=S, heads=heads, dynamic=2, fixed=2)
    module = MixedHeteroAttention(shape)
    values = torch.randn(4 * length, S, requires_grad=True)
    offsets = torch.arange(5) * length
    events = Events(values=values, offsets=offsets, layout=plan(offsets))
    kept: dict[int, int] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        module.read(events, torch.randn(4, 2, width, requires_grad=True))
    weights = 4 * sum(p.numel() for p in module.parameters())
    assert sum(kept.values()) - weights < 4 * 4 * length * (S + 3)
    assert values.data_ptr() in kept


@given(
    lengths=st.lists(st.integers(0, 40), max_size=30),
    width=st.integers(1, 12),
    cost=st.integers(0, 30),
)
@settings(max_examples=60, deadline=None)
def test_a_layout_holds_every_event_once(lengths: list[int], width: int, cost: int) -> None:
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layouts, "TILE_COST", cost)
        layout = plan(offsets, event_bytes=1 << 17, width=width)  # eight events a tile
    held, stretch, place = [], 0, 0
    for tile in layout.tiles:
        assert (tile.first, tile.start) == (stretch, place)
        assert tile.count == 1 or tile.count * tile.width <= 8
        for index in range(tile.count):
            events = layout.order[place : place + tile.width]
            if tile.empty is not None:
                events = events[~tile.empty[index, 0]]
            row = int(layout.rows[stretch])
            assert len(events)
            assert (events >= offsets[row]).all()
            assert (events < offsets[row + 1]).all()
            held += events.tolist()
            stretch, place = stretch + 1, place + tile.width
    assert sorted(held) == list(range(sum(lengths)))
    assert place == len(layout.order)
    assert stretch == len(layout.rows)
    assert layout.waste == pytest.approx(1 - sum(lengths) / max(place, 1) if place else 0)


def test_little_is_wasted_on_rows_of_many_lengths() -> None:
    torch.manual_seed(0)
    lengths = (torch.randn(2048) * 0.8 + 6).exp().clamp(max=4000).long()
    layout = plan(torch.cat([lengths.new_zeros(1), lengths.cumsum(0)]))
    assert layout.waste < 0.03
    assert 1 - lengths.sum() / (len(lengths) * lengths.max()) > 0.5  # what padding would waste


@pytest.mark.parametrize("module", [layouts])
def test_docstring_examples_run(module: Any) -> None:
    assert doctest.testmod(module).failed == 0
