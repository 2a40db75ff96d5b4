"""Every ablation equals its loop-written reference, keeps the request apart, learns, and costs what it says."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError

from hemix.models.data.toy import toy_batch
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.hemix.model import HeMix
from tests.models.rankers.hemix.hemix_reference import hemix_logits
from tests.models.rankers.hemix.test_hemix import make

# Eight tokens: four NS tokens and two queries a sequence, so that H = N divides the width.
pytestmark = pytest.mark.slow

EIGHT = {"dynamic_global": 2, "dynamic_realtime": 2, "fixed_global": 2, "fixed_realtime": 2}
FOUR_MORE = {**EIGHT, "dynamic_queries": False}

VARIANTS: dict[str, dict[str, Any]] = {
    "positions": {"positions": True},
    "without fixed queries": {"fixed_global": 0, "fixed_realtime": 0},
    "without dynamic queries": {"dynamic_queries": False},
    "without the global sequence": {"sequences": "realtime"},
    "without the real-time sequence": {"sequences": "global"},
    "one query projection": {"query_projection": "shared"},
    "recent queries": {"interest": "recent"},
    "recent queries of one sequence": {"interest": "recent", "fixed_global": 0},
    "more recent queries than events": {"interest": "recent", "fixed_realtime": 5},
    "mean": {"interest": "mean"},
    "din": {"interest": "din"},
    "transformer": {"mixer": "transformer"},
    "rankmixer": {"mixer": "rankmixer", **FOUR_MORE},
    "tokenmixer large": {"mixer": "tokenmixer_large", **FOUR_MORE},
    "no mixing": {"mixer": "none"},
    "full rank": {"rank": None},
    "same weights for all heads": {"shared_mixing": True},
    "no reconstruction": {"reconstruction": False},
    "one ffn": {"shared_ffn": True},
    "pre-norm": {"norm": "pre_rms"},
    "LayerNorm before": {"norm": "pre_layer"},
    "that, encoded events": {"norm": "pre_layer", "encode_events": True, "blocks": 1},
    "a null item of zeros": {"null_form": "zero"},
    "padding as null items": {"null_form": "padding"},
    "padding as null items, recent events": {"null_form": "padding", "interest": "recent"},
    "stacks as fans": {"stacked_init": "stack"},
    "pre-norm transformer": {"norm": "pre_rms", "mixer": "transformer"},
    "hidden layer in the tokenizer": {"tokenizer_hidden": 7},
    "that hidden layer, behind crosses": {"tokenizer_hidden": 7, "crosses": 2},
    "queries of their own": {"query_source": "own", "dynamic_global": 3},
    "that, of one sequence": {"query_source": "own", "sequences": "realtime"},
    "that, recent events too": {"query_source": "own", "interest": "recent", "crosses": 1},
    "ns tokens not fed": {"feed_ns": False, "dynamic_global": 3},
    "that, of one sequence alone": {"feed_ns": False, "sequences": "realtime", "dynamic_global": 3},
    "that, din": {"feed_ns": False, "interest": "din"},
    "shared keys": {"share_keys": True},
    "shared keys, recent events": {"share_keys": True, "interest": "recent"},
    "residual of the query": {"query_residual": True},
    "that, recent events": {"query_residual": True, "interest": "recent"},
    "that, without fixed queries": {"query_residual": True, "fixed_global": 0, "fixed_realtime": 0},
    "that, without dynamic queries": {"query_residual": True, "dynamic_queries": False},
    "encoded events": {"encode_events": True},
    "encoded events, pre-norm": {"encode_events": True, "norm": "pre_rms", "positions": True},
    "encoded events, no norm": {"encode_events": True, "norm": "none", "interest": "recent"},
    "encoded events, mean": {"encode_events": True, "interest": "mean"},
    "encoded events, din": {"encode_events": True, "interest": "din", "sequences": "global"},
    "the candidate's interest": {"candidate_interest": True},
    "that interest, behind crosses": {
        "candidate_interest": True,
        "crosses": 2,
        "sequences": "realtime",
    },
    "gelu in the mixing": {"mix_activation": "gelu"},
    "silu in the mixing": {"mix_activation": "silu", "rank": None},
    "swiglu": {"ffn": "swiglu"},
    "one swiglu": {"ffn": "swiglu", "shared_ffn": True, "mixer": "transformer"},
    "readout of the tasks' tokens": {"readout": "task"},
    "that, transformer": {"readout": "task", "mixer": "transformer", "norm": "pre_rms"},
    "that, rankmixer": {"readout": "task", "mixer": "rankmixer", "token_width": 20, **FOUR_MORE},
    "readout of the ns tokens": {"readout": "ns"},
    "that, one sequence": {"readout": "ns", "sequences": "global", "dynamic_realtime": 3},
    "every open choice at once": {
        "tokenizer_hidden": 7,
        "query_source": "own",
        "share_keys": True,
        "query_residual": True,
        "encode_events": True,
        "mix_activation": "gelu",
        "ffn": "swiglu",
        "readout": "task",
    },
    "all at once": {
        "interest": "recent",
        "sequences": "global",
        "query_projection": "shared",
        "positions": True,
        "shared_mixing": True,
        "shared_ffn": True,
        "crosses": 1,
    },
}


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_equals_the_loop_written_reference(variant: dict[str, Any]) -> None:
    model, batch = make(spread=0.2, **variant), toy_batch(rows=7)
    expected = hemix_logits(model, batch)
    for task, logit in model(batch).items():
        torch.testing.assert_close(logit, torch.tensor(expected[task]), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_one_request_s_state_serves_all_its_candidates(variant: dict[str, Any]) -> None:
    model, request, items = make(**variant), toy_batch(rows=1, seed=3), toy_batch(rows=5, seed=4)
    rows = request.take(torch.zeros(5, dtype=torch.int64))
    ids = {**rows.ids, **{k: items.ids[k] for k in ("item_id", "tag", "clicks_bucket")}}
    numbers = {**rows.numbers, "clicks": items.numbers["clicks"]}
    together = type(rows)(size=5, ids=ids, numbers=numbers, lists=rows.lists, labels=rows.labels)
    once = model.score_candidates(model.encode_request(request), items)
    for task, logit in model(together).items():
        torch.testing.assert_close(once[task], logit, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_every_parameter_learns(variant: dict[str, Any]) -> None:
    model = make(**variant)
    sum(logit.square().sum() for logit in model(toy_batch(rows=64)).values()).backward()
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.numel() and (parameter.grad is None or not parameter.grad.any())
    ]
    assert idle == []


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=VARIANTS)
def test_changes_the_model(variant: dict[str, Any]) -> None:
    """No switch is without effect: other logits, or another number of weights."""
    plain, changed = make(), make(**variant)
    if plain.parameter_counts() == changed.parameter_counts():
        batch = toy_batch(rows=5)
        assert not torch.allclose(plain(batch)["click"], changed(batch)["click"])


def test_tokens_of_each_interest() -> None:
    count = {
        name: HeMixConfig(**variant).tokens
        for name, variant in VARIANTS.items()
        if name
        in (
            "mean",
            "din",
            "recent queries",
            "without dynamic queries",
            "without the global sequence",
        )
    }
    assert count == {
        "mean": 6,
        "din": 6,
        "recent queries": 12,
        "without dynamic queries": 8,
        "without the global sequence": 8,
    }


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"mixer": "rankmixer", "token_width": 64}, "12 tokens"),
        ({"dynamic_queries": False, "fixed_global": 0}, "global"),
        ({"token_width": 30}, "mix_heads"),
    ],
)
def test_what_does_not_fit_together_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        HeMixConfig(**fields)


def flops(**fields: Any) -> dict[str, int]:
    model: HeMix = make(**fields)
    return model.flops_per_sample()


def test_flops_equal_hand_counts() -> None:
    # d=8, D_s=12, lengths 6 and 3, N=12, two towers 8-5-1, NS part 2*12*4*8 a side.
    ns, towers, d, s = 2 * 12 * 4 * 8, 2 * (2 * 8 * 5 + 2 * 5), 8, 12
    block = 4 * 12 * d * 3 + 4 * 2 * 12 * d * d
    full = flops()
    assert flops(mixer="none")["candidate"] == full["candidate"] - 2 * 4 * 12 * d * 3
    assert flops(rank=None)["candidate"] == full["candidate"] + 2 * 4 * 12 * d * (24 - 3)
    six = 4 * 6 * d * 3 + 4 * 2 * 6 * d * d
    assert flops(interest="mean") == {
        "request": ns + 2 * 2 * s * d,
        "candidate": ns + 2 * six + towers,
    }
    score = 2 * 32 * 32 + 2 * 32 + 2 * d
    assert flops(interest="din") == {
        "request": ns + 2 * 9 * s * d,
        "candidate": ns + 9 * score + 2 * six + towers,
    }
    attention = 8 * 12 * d * d + 4 * 12 * 12 * d + 4 * 2 * 12 * d * d
    assert flops(mixer="transformer")["candidate"] == full["candidate"] + 2 * (attention - block)
    eight = {"token_width": 8, **FOUR_MORE}
    without = flops(**eight, mixer="none")["candidate"]
    assert flops(**eight, mixer="rankmixer")["candidate"] == without
    swiglu = 2 * 3 * 2 * 8 * d * 16
    assert flops(**eight, mixer="tokenmixer_large")["candidate"] == without + 2 * (
        swiglu - 4 * 2 * 8 * d * d
    )
    recent = 4 * (2 * s * d + 2 * d * (d + s + 1))  # made of an event, then into its space
    assert flops(interest="recent")["request"] == full["request"] + recent
