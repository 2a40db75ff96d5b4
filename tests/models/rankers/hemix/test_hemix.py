"""The whole model against a loop-written reference, and the properties it must have."""

from __future__ import annotations

import doctest
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import hemix.models.rankers.hemix.model
from hemix.models.data.batch import Batch, Jagged
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.layers.attention import reading
from hemix.models.layers.attention.events import Events
from hemix.models.layers.attention.layout import plan
from hemix.models.layers.dense import xavier_slices_
from hemix.models.layers.per_token import fuse, reconstruct
from hemix.models.rankers.hemix.mixing import HeteroMixing
from hemix.models.rankers.hemix.model import HeMix, HeMixConfig
from hemix.models.training.recipes import Recipe, base, large_1b, small_100m, tiny, unirank_like
from hemix.spec import (
    CategoricalFeature,
    FeatureSpec,
    SequenceColumn,
    SequenceFeature,
    TaskSpec,
    Vocabulary,
)
from tests.models.rankers.hemix.hemix_reference import hemix_logits


def make(*, seed: int = 0, spread: float = 0.5, **fields: object) -> HeMix:
    """A small HeMix whose every parameter is random, so that nothing hides behind a zero."""
    torch.manual_seed(seed)
    fields = {"token_width": 8, "rank": 3, "tower": (5,)} | fields
    config = HeMixConfig(embedding=EmbeddingConfig(width=4), **fields)  # type: ignore[arg-type]
    model = HeMix(toy_spec(), config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * spread)
    return model


def test_docstring_examples_run() -> None:
    assert doctest.testmod(hemix.models.rankers.hemix.model).failed == 0


@pytest.mark.parametrize("null_item", [True, False])
def test_equals_the_loop_written_reference(null_item: bool) -> None:
    model = make(null_item=null_item, dynamic_global=3, fixed_realtime=1, mix_heads=2)
    batch = toy_batch(rows=7)
    expected = hemix_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, torch.tensor(expected[task]), rtol=1e-4, atol=1e-4)


def test_equals_the_reference_without_norms() -> None:
    # Without norms large random weights would blow up, so these are closer to the initial ones.
    model = make(norm="none", token_norm=False, readout="flatten", spread=0.1)
    batch = toy_batch(rows=7)
    expected = hemix_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, torch.tensor(expected[task]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("crosses", [1, 3])
def test_equals_the_reference_with_crosses(crosses: int) -> None:
    model = make(crosses=crosses, norm="none", token_norm=False, readout="flatten", spread=0.1)
    batch = toy_batch(rows=7)
    expected = hemix_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, torch.tensor(expected[task]), rtol=1e-4, atol=1e-4)


@given(tokens=st.integers(1, 6), heads=st.integers(1, 5), size=st.integers(1, 4))
@settings(max_examples=30, deadline=None)
def test_reconstruction_is_the_exact_inverse_of_fusion(tokens: int, heads: int, size: int) -> None:
    x = torch.arange(2 * tokens * heads * size).reshape(2, tokens, heads * size)
    assert torch.equal(reconstruct(fuse(x, heads), tokens), x)


def test_fusion_puts_one_head_of_all_tokens_side_by_side() -> None:
    x = torch.arange(5 * 12).reshape(1, 5, 12)  # N=5, H=4, d=3
    expected = torch.cat([x[0, n, 6:9] for n in range(5)])
    assert torch.equal(fuse(x, 4)[0, 2], expected)


def closed_form(model: HeMix, sides: dict[str, int]) -> int:
    """Section 1.5's count, with the small terms it leaves out."""
    c, d = model.config, model.config.token_width
    queries = c.dynamic + c.fixed_global + c.fixed_realtime
    event = len(model.spec.sequences[0].columns) * c.embedding.width
    separate = c.item_projection == "separate"
    tokenizer = (sides["ns"] + 1 + 2 * c.token_norm) * c.dynamic * d
    tokenizer += c.crosses * (sides["ns"] ** 2 + sides["ns"])
    attention = queries * d * d + 2 * 2 * (d if separate else event) * d + 2 * d * d
    attention += (event * d + d if separate else 0) + (4 * d if c.null_item else 0)
    fixed = (c.fixed_global + c.fixed_realtime) * d
    mixing = 2 * c.tokens * d * c.rank + c.mix_heads * c.rank + c.tokens * d
    ffn = 2 * c.ffn_expansion * c.tokens * d * d + c.tokens * (c.ffn_expansion + 1) * d
    norms = {"pre_rms": 2 * d, "post_layer": 4 * d, "pre_layer": 4 * d, "none": 0}[c.norm]
    final = d if c.norm == "pre_rms" else 0
    widths = [d * (c.tokens if c.readout == "flatten" else 1), *c.tower, 1]
    tower = sum(a * b + b for a, b in pairwise(widths))
    directions = len(model.spec.numeric) * c.embedding.width
    total = tokenizer + attention + fixed + c.blocks * (mixing + ffn + norms) + final
    return total + len(model.spec.tasks) * tower + directions


@pytest.mark.parametrize("projection", ["merged", "separate"])
@pytest.mark.parametrize("norm", ["post_layer", "pre_layer", "pre_rms", "none"])
def test_dense_parameters_equal_the_closed_form(projection: str, norm: str) -> None:
    bare = norm == "none"
    model = make(
        item_projection=projection,
        norm=norm,
        token_norm=not bare,
        readout="flatten" if bare else "mean",
        fixed_global=3,
        blocks=1,
        crosses=2 if bare else 0,
    )
    ns = model.embedding.field_count() * 4
    assert model.parameter_counts()["dense"] == closed_form(model, {"ns": ns})


def wide_spec(fields: int, columns: int, *, tasks: int = 1) -> FeatureSpec:
    """Categorical fields, half of them an item's, and two sequences."""
    names = [f"f{i}" for i in range(max(fields, columns))]
    parts = tuple(
        SequenceColumn(role=name, column=f"s_{name}", vocabulary=name) for name in names[:columns]
    )
    return FeatureSpec(
        tasks=tuple(TaskSpec(name=f"t{i}", column=f"t{i}") for i in range(tasks)),
        vocabularies=tuple(Vocabulary(name=name, size=5) for name in names),
        categorical=tuple(
            CategoricalFeature(
                name=name, side="item" if i < fields // 2 else "user", vocabulary=name
            )
            for i, name in enumerate(names[:fields])
        ),
        numeric=(),
        sequences=tuple(
            SequenceFeature(name=name, max_length=80, columns=parts) for name in ("g", "r")
        ),
    )


def test_dense_parameters_of_the_published_run() -> None:
    """The published QK-Video run: 7 fields, 3 columns an event, 4 tasks."""
    config = unirank_like().model
    assert isinstance(config, HeMixConfig)
    model = HeMix(wide_spec(7, 3, tasks=4), config)
    assert model.parameter_counts()["dense"] == 20_441_444
    assert closed_form(model, {"ns": 112}) == 20_441_444


@pytest.mark.parametrize(
    ("recipe", "millions"), [(tiny, 3.1), (base, 32.6), (small_100m, 121), (large_1b, 1730)]
)
def test_dense_parameters_of_the_specified_sizes(
    recipe: Callable[[], Recipe], millions: float
) -> None:
    """Section 3.4: D_ns = 2048, D_s = 128; on torch's meta device, which allocates nothing."""
    config = recipe().model
    assert isinstance(config, HeMixConfig)
    width = config.embedding.width
    with torch.device("meta"):
        model = HeMix(wide_spec(2048 // width, 128 // width), config)
    dense = model.parameter_counts()["dense"]
    assert dense == closed_form(model, {"ns": 2048})
    assert dense / 1e6 == pytest.approx(millions, rel=0.015)


def with_lists(batch: Batch, lists: dict[str, Jagged]) -> Batch:
    return Batch(
        size=batch.size, ids=batch.ids, numbers=batch.numbers, lists=lists, labels=batch.labels
    )


def test_order_of_a_sequence_does_not_matter() -> None:
    model, batch = make(), toy_batch(rows=6)
    lists = {}
    for name, jagged in batch.lists.items():
        order = torch.cat(
            [
                torch.arange(int(a), int(b)).flip(0)
                for a, b in zip(jagged.offsets[:-1], jagged.offsets[1:], strict=True)
            ]
        )
        lists[name] = Jagged(values=jagged.values[:, order], offsets=jagged.offsets)
    plain, turned = model(batch), model(with_lists(batch, lists))
    for task in plain:
        torch.testing.assert_close(plain[task], turned[task], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [1, 2, 5])
def test_how_events_lie_does_not_matter(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    model, batch = make(), toy_batch(rows=6)
    whole = model(batch)
    monkeypatch.setattr(reading, "plan", partial(plan, width=width))
    cut = model(batch)
    for task in whole:
        torch.testing.assert_close(whole[task], cut[task], rtol=1e-5, atol=1e-5)


def test_fixed_queries_see_only_the_sequence_and_dynamic_ones_the_candidate() -> None:
    model, batch = make(), toy_batch(rows=6)
    other = toy_batch(rows=6, seed=1)
    changed = Batch(
        size=6, ids=other.ids, numbers=other.numbers, lists=batch.lists, labels=batch.labels
    )
    x, y = model.tokens(batch), model.tokens(changed)
    # [O_R: dynamic, dynamic, fixed, fixed; O_G: the same; T_ns]
    for fixed in (2, 3, 6, 7):
        assert torch.equal(x[:, fixed], y[:, fixed])
    for name, dynamic in (("realtime", (0, 1)), ("global", (4, 5))):
        seen = batch.lists[name].lengths > 0  # of an empty sequence all queries read the null item
        for position in dynamic:
            same = torch.isclose(x[:, position], y[:, position]).all(1)
            assert torch.equal(same, ~seen)
    assert not torch.isclose(x[:, 8:], y[:, 8:]).all(2).any()


def test_every_query_position_has_its_own_projection() -> None:
    model, batch = make(), toy_batch(rows=6)
    attention, seen = model.attention[0], model.encode_request(batch).sequence_states[0]
    t = torch.randn(6, 2, 8)
    straight, swapped = attention(seen, t)[:, :2], attention(seen, t.flip(1))[:, :2].flip(1)
    full = batch.lists["global"].lengths > 1
    assert not torch.allclose(straight[full], swapped[full], atol=1e-3)
    # Keys and values are the same function of an event wherever it stands.
    longest = batch.lists["global"].lengths.argmax()[None]
    events = model.events(batch.take(longest), 0)
    keys, _ = attention.keys_values(events)
    flipped, _ = attention.keys_values(Events(values=events.values.flip(0), offsets=events.offsets))
    torch.testing.assert_close(keys[:, 1:], flipped[:, 1:].flip(1))


@pytest.mark.parametrize("rank", [1, 3])
def test_rank_of_a_heads_jacobian_is_at_most_r(rank: int) -> None:
    torch.manual_seed(0)
    five = HeMixConfig(
        token_width=12,
        rank=rank,
        dynamic_global=1,
        dynamic_realtime=1,
        fixed_global=1,
        fixed_realtime=0,
    )
    assert five.tokens == 5
    mixing = HeteroMixing(five, five.tokens)
    torch.nn.init.normal_(mixing.left_bias)
    jacobian = torch.autograd.functional.jacobian(mixing, torch.randn(1, 5, 12))
    assert isinstance(jacobian, torch.Tensor)
    square = jacobian.reshape(5, 4, 3, 5, 4, 3)
    for head in range(4):
        block = square[:, head, :, :, head].reshape(15, 15)
        assert torch.linalg.matrix_rank(block, atol=1e-5) <= rank
        others = square[:, head][:, :, :, [m for m in range(4) if m != head]]
        assert others.abs().max() == 0  # a head reads only its own slice of the tokens


@pytest.mark.parametrize("null_item", [True, False])
def test_empty_sequences_give_finite_outputs(null_item: bool) -> None:
    model, batch = make(null_item=null_item), toy_batch(rows=4)
    empty = {
        name: Jagged(values=jagged.values[:, :0], offsets=torch.zeros(5, dtype=torch.int64))
        for name, jagged in batch.lists.items()
    }
    logits = model(with_lists(batch, empty))["click"]
    assert torch.isfinite(logits).all()
    logits.sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_slices_of_a_stacked_weight_are_initialised_on_their_own() -> None:
    torch.manual_seed(0)
    weight = xavier_slices_(torch.empty(16, 64, 64))
    expected = (2 / (64 + 64)) ** 0.5
    assert abs(float(weight.std()) / expected - 1) < 0.02


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["post_layer", "pre_layer", "pre_rms", "none"])
def test_learns_a_toy_rule(norm: str) -> None:
    model = make(norm=norm, spread=0.0, token_width=16)
    batch = toy_batch(rows=128)
    label = (batch.ids["item_id"] % 2).float()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(80):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(batch)["click"], label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.2


def test_flops_equal_a_hand_count() -> None:
    model = make(dynamic_global=1, dynamic_realtime=2, fixed_global=3, fixed_realtime=1, blocks=1)
    # d_T=8, E=4: 3 request fields (user, hour, age), 3 item fields; events of 3 columns: D_s=12.
    d, s, n = 8, 12, 10
    request = 2 * 12 * 3 * d  # tokenizer
    # A query's two products with the events' space and its null item, 8 x 8 then 8 x 13.
    into = back = 2 * d * (d + s + 1)
    read_g, read_r = 4 * 6 * 2 * s, 4 * 3 * 2 * s  # two heads score and sum raw events
    request += 3 * (read_g + back) + 1 * (read_r + back)
    candidate = 2 * 12 * 3 * d
    candidate += 1 * (into + read_g + back) + 2 * (into + read_r + back)
    candidate += 4 * n * d * 3 + 4 * 2 * n * d * d  # mixing of rank 3, FFN of expansion 2
    candidate += 2 * (2 * 8 * 5 + 2 * 5)  # two towers 8-5-1
    assert model.flops_per_sample() == {"request": request, "candidate": candidate}


def test_flops_of_crosses_equal_a_hand_count() -> None:
    plain, crossed = (make(crosses=n).flops_per_sample() for n in (0, 2))
    # 12 + 12 field dimensions; the split's 4 * 8 outputs.
    assert crossed["request"] - plain["request"] == 2 * 12 * 24 - 2 * 12 * 32
    added = 2 * 12 * 24 + 2 * 24 * 24 + 2 * 24 * 32 - 2 * 12 * 32
    assert crossed["candidate"] - plain["candidate"] == added


def test_bytes_equal_a_hand_count() -> None:
    # Rows of 4 float32: 16 bytes, ids and numbers 4 each. Two ids and a number of the request, 6 and
    # 3 events of 3 ids; two ids and a number of the item.
    fields = 2 * (4 + 16) + (4 + 4 + 16)
    sequences = {"both": 9, "global": 6, "realtime": 3}
    for name, events in sequences.items():
        assert make(sequences=name).bytes_per_sample() == {
            "request": fields + events * 3 * (4 + 16),
            "candidate": fields,
        }
