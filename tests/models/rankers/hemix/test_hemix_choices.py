"""The choices that the paper leaves open: counts by hand, what is refused, and what must not change.

That each equals the loop-written reference, learns, and keeps the request apart is tested with the
other variants in test_hemix_variants.py.
"""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from hemix.errors import DefinitionError
from hemix.models.data.batch import Batch, Jagged
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.layers import batch_rng
from hemix.models.layers.attention import mixed, reading
from hemix.models.layers.attention.layout import plan
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.hemix.model import HeMix
from hemix.models.training.recipes import Recipe
from hemix.models.versions.version import load, write
from tests.models.rankers.hemix.test_hemix import make, with_lists
from tests.models.rankers.hemix.test_hemix_variants import FOUR_MORE

CHOICES: dict[str, dict[str, Any]] = {
    "tokenizer_hidden": {"tokenizer_hidden": 7},
    "query_source": {"query_source": "own"},
    "feed_ns": {"feed_ns": False},
    "share_keys": {"share_keys": True},
    "query_residual": {"query_residual": True},
    "encode_events": {"encode_events": True},
    "candidate_interest": {"candidate_interest": True},
    "mix_activation": {"mix_activation": "gelu"},
    "ffn": {"ffn": "swiglu"},
    "readout task": {"readout": "task"},
    "readout ns": {"readout": "ns"},
}
MOST: dict[str, Any] = {
    **{k: v for choice in CHOICES.values() for k, v in choice.items()},
    "feed_ns": True,
    "readout": "task",
}
"""All that fit together."""
every = pytest.mark.parametrize("choice", [*CHOICES.values(), MOST], ids=[*CHOICES, "most"])
D, S, K, RANK, MADE = 8, 12, 16, 3, 4 * 8
"""Token width, event width, the FFN's hidden width, rank, four NS tokens."""
TOKEN = 2 * D * RANK + D + 2 * D * K + K + D
"""Parameters of a block for one token."""
LAYER = 4 * S * D + 2 * S * 24 + 24 + S + 2 * 2 * S
"""Of the layer over events: projections, FFN of expansion 2 with biases, two norms."""
W, FIRST, SECOND = 8, 32, 16
"""Width of the columns that event and candidate share; the hidden widths of DIN's network."""
DIN = (4 * W + S - W) * FIRST + FIRST + FIRST * SECOND + SECOND + SECOND + 1
"""Its parameters."""

PARAMETERS = {
    "tokenizer_hidden": (24 + 1) * 7 + (7 + 1) * MADE - (24 + 1) * MADE,
    "query_source": (24 + 1 + 2) * MADE,
    "feed_ns": -2 * 4 * TOKEN,
    "share_keys": -2 * S * D,
    "query_residual": 2 * 2 * D,
    "encode_events": 2 * LAYER,
    "candidate_interest": 2 * (DIN + S * MADE),
    "mix_activation": 0,
    "ffn": 2 * 12 * (D + 1) * K,
    "readout task": 2 * D + 2 * 2 * TOKEN,
    "readout ns": 0,
}


@pytest.mark.parametrize("name", CHOICES)
def test_parameters_equal_hand_counts(name: str) -> None:
    plain, chosen = (make(**fields).parameter_counts()["dense"] for fields in ({}, CHOICES[name]))
    assert chosen - plain == PARAMETERS[name]


BLOCK = 2 * (4 * D * RANK + 4 * D * K)
"""FLOPs of one token in two blocks of mixing and FFN."""
OVER_EVENTS = sum(2 * L * (4 * S * D + 2 * S * 24) + 4 * L * L * D for L in (6, 3))
EVENT = 2 * (W * FIRST + FIRST * SECOND + SECOND + S)
"""FLOPs of an event that meets a candidate: its product, two layers, its part of the sum."""

FLOPS = {
    "tokenizer_hidden": (2 * 12 * (7 - MADE), 2 * 12 * (7 - MADE) + 2 * 7 * MADE),
    "query_source": (2 * 12 * MADE, 2 * 12 * MADE),
    "feed_ns": (0, -4 * BLOCK),
    "share_keys": (0, 0),
    "query_residual": (0, 0),
    "encode_events": (OVER_EVENTS, 0),
    "candidate_interest": (
        2 * (6 + 3) * S * FIRST,
        2 * 2 * S * MADE + 2 * 2 * W * FIRST + (6 + 3) * EVENT,
    ),
    "mix_activation": (0, 0),
    "ffn": (0, 2 * 12 * 2 * D * K),
    "readout task": (0, 2 * BLOCK),
    "readout ns": (0, 0),
}


@pytest.mark.parametrize("name", CHOICES)
def test_flops_equal_hand_counts(name: str) -> None:
    plain, chosen = (make(**fields).flops_per_sample() for fields in ({}, CHOICES[name]))
    more = (chosen["request"] - plain["request"], chosen["candidate"] - plain["candidate"])
    assert more == FLOPS[name]


def test_flops_of_a_hidden_layer_behind_crosses_equal_a_hand_count() -> None:
    plain, hidden = (make(crosses=2, tokenizer_hidden=n).flops_per_sample() for n in (None, 7))
    assert hidden["request"] == plain["request"]  # the first cross's product
    assert hidden["candidate"] - plain["candidate"] == 2 * 24 * (7 - MADE) + 2 * 7 * MADE


def test_nothing_is_made_that_nobody_reads() -> None:
    for fields in ({"feed_ns": False}, {"query_source": "own"}):
        model = make(**fields, sequences="realtime", dynamic_global=3)
        assert (
            model.config.num_tokenizer_outputs
            == {"feed_ns": 2, "query_source": 3 + 2 + 2}[next(iter(fields))]
        )
        sum(logit.square().sum() for logit in model(toy_batch(rows=64)).values()).backward()
        for weight in (model.tokenizer.request_weight, model.tokenizer.item_weight):
            assert weight.grad is not None
            assert weight.grad.any(0).all()


def test_the_default_has_none_of_their_parts() -> None:
    per_sequence = ("fixed", "query", "key", "value", "out", "null")
    norms = [f"{half}_norm.{part}" for half in ("mixing", "ffn") for part in ("weight", "bias")]
    mixing = [f"mixing.{part}" for part in ("left", "left_bias", "right", "right_bias")]
    ffn = [f"ffn.{part}" for part in ("up", "up_bias", "down", "down_bias")]
    assert {name for name in make().state_dict() if not name.startswith("embedding.")} == {
        *(f"tokenizer.{part}" for part in ("request_weight", "item_weight", "bias")),
        *(f"tokenizer.norm.{part}" for part in ("gain", "shift")),
        *(f"attention.{number}.{part}" for number in (0, 1) for part in per_sequence),
        *(f"blocks.{number}.{part}" for number in (0, 1) for part in (*mixing, *ffn, *norms)),
        *(
            f"tower.{task}.{layer}.{part}"
            for task in ("click", "long_view")
            for layer in ("mlp.net.0", "out")
            for part in ("weight", "bias")
        ),
    }


REFUSED: list[tuple[dict[str, Any], str, str]] = [
    ({"query_source": "own", "dynamic_queries": False}, "query_source", "dynamic_queries=true"),
    ({"query_source": "own", "interest": "din"}, "query_source", "interest=mixed or recent"),
    ({"query_source": "own", "feed_ns": False}, "query_source", "feed_ns=true"),
    ({"feed_ns": False, "dynamic_queries": False}, "feed_ns", "dynamic_queries=true"),
    ({"feed_ns": False, "interest": "mean"}, "feed_ns", "set feed_ns=true"),
    ({"share_keys": True, "sequences": "global"}, "share_keys", "sequences=both"),
    ({"share_keys": True, "interest": "mean"}, "share_keys", "interest=mixed or recent"),
    ({"query_residual": True, "interest": "din"}, "query_residual", "interest=mixed or recent"),
    ({"mix_activation": "gelu", "mixer": "transformer"}, "mix_activation", "mixer=hetero"),
    (
        {"ffn": "swiglu", "mixer": "tokenmixer_large", **FOUR_MORE, "token_width": 8},
        "ffn",
        "another mixer",
    ),
    ({"readout": "ns", "feed_ns": False}, "readout", "feed_ns=true"),
    ({"readout": "ns", "mixer": "none"}, "readout", "other than none"),
    ({"readout": "task", "blocks": 0}, "readout", "blocks to 1 or more"),
    (
        {"interest": "recent", "fixed_global": 0, "fixed_realtime": 0},
        "interest=recent",
        "interest=mixed",
    ),
    (
        {"interest": "recent", "fixed_realtime": 0, "sequences": "realtime"},
        "interest=recent",
        "interest=mixed",
    ),
    ({"tokenizer_hidden": 0}, "tokenizer_hidden", "greater than or equal to 1"),
]


@pytest.mark.parametrize(("fields", "named", "mend"), REFUSED)
def test_what_does_not_fit_together_is_refused(
    fields: dict[str, Any], named: str, mend: str
) -> None:
    with pytest.raises(ValidationError) as raised:
        HeMixConfig(**fields)
    assert raised.value.error_count() == 1
    assert named in str(raised.value)
    assert mend in str(raised.value)


def test_tokens_of_tasks_count_when_a_mixer_splits_the_width() -> None:
    fields: dict[str, Any] = {"mixer": "rankmixer", "readout": "task", **FOUR_MORE}
    with pytest.raises(DefinitionError, match="10 tokens"):
        HeMix(toy_spec(), HeMixConfig(token_width=8, **fields))


def without(batch: Batch, *names: str) -> Batch:
    """The batch with nothing in these sequences."""
    nothing = {
        name: Jagged(
            values=batch.lists[name].values[:, :0],
            offsets=torch.zeros(batch.size + 1, dtype=torch.int64),
        )
        for name in names
    }
    return with_lists(batch, batch.lists | nothing)


@every
@pytest.mark.parametrize("null_item", [True, False])
def test_without_events_all_is_finite_and_every_weight_takes_part(
    choice: dict[str, Any], null_item: bool
) -> None:
    """A weight without a gradient in one of several processes would let the others wait."""
    model = make(null_item=null_item, **choice)
    logits = model(without(toy_batch(rows=4), "global", "realtime"))
    sum(logit.sum() for logit in logits.values()).backward()
    assert all(logit.isfinite().all() for logit in logits.values())
    for name, parameter in model.named_parameters():
        if not name.startswith("embedding."):
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all()


@every
@torch.no_grad()
def test_a_row_without_events_is_what_it_is_alone(choice: dict[str, Any]) -> None:
    model, batch = make(**choice), toy_batch(rows=9)
    empty = batch.lists["global"].lengths == 0
    assert empty.any()
    whole, part = model(batch), model(without(batch.take(empty.nonzero()[:, 0]), "global"))
    for task in whole:
        torch.testing.assert_close(whole[task][empty], part[task], rtol=1e-4, atol=1e-4)


@every
@torch.no_grad()
def test_neither_padding_nor_neighbours_nor_layouts_matter(
    choice: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, batch = make(**choice), toy_batch(rows=8)
    plain = model(batch)

    def same(other: dict[str, Tensor], rows: Tensor | slice = slice(None)) -> None:
        for task, logit in plain.items():
            torch.testing.assert_close(other[task], logit[rows], rtol=1e-4, atol=1e-4)

    longer = {k: replace(v, longest=50) for k, v in batch.lists.items()}
    same(model(with_lists(batch, longer)))
    rows = torch.tensor([5, 0, 3])
    same(model(batch.take(rows)), rows)
    monkeypatch.setattr(reading, "plan", partial(plan, width=2))
    same(model(batch))


@pytest.mark.slow
@every
@torch.no_grad()
@pytest.mark.parametrize("folds", [True, False])
@pytest.mark.parametrize("empty", [(), ("global",), ("global", "realtime")])
def test_a_request_scored_once_equals_its_full_rows(
    choice: dict[str, Any], folds: bool, empty: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys folded away or made; several requests at once, too."""
    monkeypatch.setattr(mixed, "folding_pays", lambda *_, **__: folds)
    model, items = make(**choice), toy_batch(rows=5, seed=4)
    item_ids = {name: items.ids[name] for name in ("item_id", "tag", "clicks_bucket")}
    numbers = {"clicks": items.numbers["clicks"]}
    several = without(toy_batch(rows=5, seed=3), *empty)
    one = several.take(torch.zeros(1, dtype=torch.int64))
    for request, rows in ((several, torch.arange(5)), (one, torch.zeros(5, dtype=torch.int64))):
        full = request.take(rows)
        full = replace(full, ids=full.ids | item_ids, numbers=full.numbers | numbers)
        once = model.score_candidates(model.encode_request(request), items)
        for task, logit in model(full).items():
            torch.testing.assert_close(once[task], logit, rtol=1e-4, atol=1e-4)


@every
@torch.no_grad()
def test_dropout_is_the_same_in_parts_of_a_batch(choice: dict[str, Any]) -> None:
    model, batch = make(dropout=0.3, **choice).train(), toy_batch(rows=10)
    torch.manual_seed(1)
    whole = model(batch)
    torch.manual_seed(2)
    assert any(not torch.allclose(whole[task], logit) for task, logit in model(batch).items())
    for mine in (slice(0, 4), slice(4, 10)):
        torch.manual_seed(1)
        with batch_rng.batch_rows(local=mine, global_size=10):
            part = model(batch.part(torch.arange(10), mine))
        for task, logit in whole.items():
            torch.testing.assert_close(part[task], logit[mine], rtol=1e-4, atol=1e-4)


@every
@pytest.mark.filterwarnings("ignore:Mismatch dtype")
def test_bfloat16_gives_finite_logits_and_gradients(choice: dict[str, Any]) -> None:
    model = make(spread=0.1, **choice)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = model(toy_batch(rows=9))
    sum(logit.float().sum() for logit in logits.values()).backward()
    assert all(logit.isfinite().all() for logit in logits.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


@every
@torch.no_grad()
def test_exported_weights_give_the_same_scores(choice: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "transform").mkdir()
    toy_spec().write(tmp_path / "transform" / "spec.json")
    model = make(**choice)
    write(
        tmp_path / "v1",
        ranker=model,
        recipe=Recipe(name="chosen", ranker="hemix", model=model.config),
        transform=tmp_path / "transform",
        version="v1",
        feature_service="ranker_v1",
        training_window={},
        metrics={},
    )
    loaded, batch = load(tmp_path / "v1").ranker, toy_batch(rows=6)
    for task, logit in model(batch).items():
        assert torch.equal(loaded(batch)[task], logit)


def test_a_copy_of_a_model_with_shared_keys_shares_its_own() -> None:
    model = make(share_keys=True)
    twin = copy.deepcopy(model)
    assert twin.attention[1].weights[0] is twin.attention[0].key
    assert twin.attention[0].key is not model.attention[0].key
    assert not [name for name in model.state_dict() if name.startswith("attention.1.key")]


@torch.no_grad()
def test_fixed_queries_and_events_still_see_no_candidate() -> None:
    model, batch, other = make(**MOST), toy_batch(rows=6), toy_batch(rows=6, seed=1)
    x, y = model.tokens(batch), model.tokens(with_lists(other, batch.lists))
    # [O_R: dynamic, dynamic, fixed, fixed; O_G: the same; T_ns; one token per task]
    for position in range(14):
        same = torch.isclose(x[:, position], y[:, position]).all(1)
        if position in (2, 3, 6, 7, 12, 13):
            assert same.all()
        else:  # the residual shows the query even where there are no events
            assert not same.any()


@torch.no_grad()
def test_queries_of_their_own_are_not_the_ns_tokens() -> None:
    model, batch = make(query_source="own"), toy_batch(rows=6)
    before = model.tokens(batch)
    of_queries = model.tokenizer.item_weight[:, 4 * D :]
    of_queries += torch.randn_like(of_queries)
    after = model.tokens(batch)
    assert torch.equal(before[:, 8:], after[:, 8:])
    seen = batch.lists["realtime"].lengths > 1
    assert not torch.isclose(before[seen, :2], after[seen, :2]).all()


@torch.no_grad()
def test_a_task_reads_its_own_token_alone() -> None:
    model, batch = make(readout="task", blocks=1), toy_batch(rows=6)
    before = model(batch)
    model.blocks[0].ffn.down[-1] += torch.randn(K, D)  # of the last token, after the mixing
    after = model(batch)
    assert torch.equal(before["click"], after["click"])
    assert not torch.isclose(before["long_view"], after["long_view"]).any()


@torch.no_grad()
def test_the_order_of_encoded_events_does_not_matter_without_positions() -> None:
    model, batch = make(encode_events=True), toy_batch(rows=1, seed=2)
    turned = {k: Jagged(values=v.values.flip(1), offsets=v.offsets) for k, v in batch.lists.items()}
    assert all(v.values.shape[1] > 1 for v in batch.lists.values())
    plain, other = model(batch), model(with_lists(batch, turned))
    for task in plain:
        torch.testing.assert_close(plain[task], other[task], rtol=1e-5, atol=1e-5)
