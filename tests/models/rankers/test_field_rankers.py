"""Rankers over crossed fields against their loop-written references and FLOPs by hand."""

from __future__ import annotations

import doctest
import importlib
from itertools import pairwise
from typing import Any

import pytest
import torch

from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.rankers.fields import FieldRanker
from hemix.models.rankers.registry import RANKERS, find
from tests.models.rankers.reference_fields import LOGITS, expected
from tests.models.rankers.reference_vectors import shaken

SMALL: dict[str, dict[str, Any]] = {
    "fm": {},
    "deepfm": {"deep": (6, 5)},
    "nfm": {"deep": (6,)},
    "xdeepfm": {"maps": (4, 3), "deep": (6,)},
    "afn": {"neurons": 3, "hidden": (6,), "deep": (5,)},
    "fibinet": {"deep": (6,)},
    "dcn": {"deep": (6, 5), "crosses": 2},
    "dcnv2": {"deep": (6, 5), "tower": (3,)},
    "gcn": {"crosses": 2},
    "gdcn_s": {"crosses": 2, "deep": (6,)},
    "gdcn_p": {"crosses": 2, "deep": (6,)},
    "xdeepint": {"layers": 2, "subspaces": 2},
    "dynint": {"layers": 2, "subspaces": 2},
    "adaensemble": {},
}
VARIANTS: list[tuple[str, dict[str, Any]]] = [
    *((name, {}) for name in SMALL),
    *((name, {"first_order": False}) for name in ("fm", "afn")),
    ("nfm", {"norm": False, "deep": ()}),
    ("xdeepfm", {"split": False, "activation": "none", "deep": ()}),
    ("afn", {"logarithm": "plain", "deep": ()}),
    ("fibinet", {"bilinear": "each"}),
    ("fibinet", {"bilinear": "interaction", "reduction": 20}),
    ("dcn", {"deep": ()}),
    ("dcnv2", {"structure": "stacked", "interest": "din"}),
    ("dcnv2", {"deep": (), "crosses": 1}),
    ("gdcn_p", {"interest": "mean", "tower": (4,)}),
    ("xdeepint", {"subspaces": 1, "activation": "tanh"}),
    ("xdeepint", {"subspaces": 4, "residual": False}),
    ("dynint", {"bits": True, "subspaces": 1}),
    ("dynint", {"mode": "generated", "rank": 2}),
    ("dynint", {"mode": "generated", "static": False}),
    ("dynint", {"mode": "weighted", "rank": 2}),
    ("adaensemble", {"combine": "sum"}),
    ("adaensemble", {"chosen": 1, "layers": 2, "exit_shares": ()}),
]


def make(name: str, **fields: Any) -> FieldRanker:
    """A small one in evaluation mode and float64, every parameter random."""
    kind = find(name)
    config = kind.config_type(
        embedding=EmbeddingConfig(width=4), **{"attention": (5,), **SMALL[name], **fields}
    )
    model = shaken(kind(toy_spec(), config)).double()
    assert isinstance(model, FieldRanker)
    return model


@pytest.mark.parametrize(("name", "fields"), VARIANTS, ids=str)
@torch.no_grad()
def test_equals_the_loop_written_reference(name: str, fields: dict[str, Any]) -> None:
    model, batch = make(name, **fields), toy_batch(rows=4)
    for task, logit in expected(model, batch).items():
        torch.testing.assert_close(model(batch)[task], logit.double(), rtol=1e-9, atol=1e-9)


def test_every_field_ranker_has_a_reference() -> None:
    assert set(LOGITS) == {n for n, kind in RANKERS.items() if issubclass(kind, FieldRanker)}


@pytest.mark.parametrize("module", sorted({RANKERS[name].__module__ for name in SMALL}))
def test_docstring_examples_run(module: str) -> None:
    assert doctest.testmod(importlib.import_module(module)).failed == 0


@pytest.mark.parametrize("part", ["pairs", "crosses", "polynomial", "dynamic"])
def test_examples_of_the_layers_run(part: str) -> None:
    module = importlib.import_module(f"hemix.models.layers.interactions.{part}")
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("part", ["router", "experts", "mixture"])
def test_examples_of_routing_run(part: str) -> None:
    module = importlib.import_module(f"hemix.models.layers.routing.{part}")
    assert doctest.testmod(module).failed == 0


V, E, T = 12, 4, 2
"""Vectors of a toy row, their width, tasks."""
D = V * E


def mlp(*widths: int) -> int:
    """Two a multiply-add."""
    return sum(2 * a * b for a, b in pairwise(widths))


FIRST = {"request": T * 3, "candidate": T * 3}
"""Fields of user and context, and of the item."""
PAIRS = 3 * D + 3 * E
FM = PAIRS + E + T * (2 * E + 1)
FLOPS: dict[str, int] = {
    "fm": FM,
    "deepfm": FM + mlp(D, 6, 5) + T * mlp(5, 1),
    "nfm": PAIRS + mlp(E, 6) + T * mlp(6, 1),
    # Pairs 12 by 12 and 2 by 12, mixed to 4 and to 3; 2 and 3 pooled.
    "xdeepfm": 144 * E * (1 + 8) + 24 * E * (1 + 6) + 5 * E + mlp(D, 6) + T * mlp(5 + 6, 1),
    "afn": D + 2 * 3 * D + 3 * E + mlp(3 * E, 6) + mlp(D, 5) + T * mlp(6 + 5, 1),
    "fibinet": 2 * D
    + mlp(V, 4, V)
    + 2 * (2 * V * E * E + 66 * E)
    + mlp(2 * 66 * E, 6)
    + T * mlp(6, 1),
    "dcn": 2 * 5 * D + mlp(D, 6, 5) + T * mlp(D + 5, 1),
    "dcnv2": 2 * 2 * D * D + mlp(D, 6, 5) + T * mlp(D + 5, 3, 1),
    "gcn": 2 * 4 * D * D + T * mlp(D, 1),
    "gdcn_s": 2 * 4 * D * D + mlp(D, 6) + T * mlp(6, 1),
    "gdcn_p": 2 * 4 * D * D + mlp(D, 6) + T * mlp(D + 6, 1),
    # W of 24 rows on vectors of width 2, the product and the sum; the head sums E entries a vector.
    "xdeepint": 2 * (2 * 24 * 24 * 2 + 2 * D) + V * (E + 2 * T),
    "dynint": 2 * (2 * 24 * 24 * 2 + D + 2 * D + mlp(D, 3, 24)) + V * (E + 2 * T),
}


@pytest.mark.parametrize("name", FLOPS)
def test_flops_equal_a_hand_count(name: str) -> None:
    model = make(name, interest="mean")
    first = {"request": 0, "candidate": 0} if model.first_order is None else FIRST
    got = model.flops_per_sample()
    assert got == {"request": first["request"], "candidate": FLOPS[name] + first["candidate"]}


def test_generated_and_weighted_flops_equal_a_hand_count() -> None:
    head, matrix = V * (E + 2 * T), 2 * 24 * 24 * 2
    generated = make("dynint", interest="mean", mode="generated", rank=3).flops_per_sample()
    core = 2 * 3 * 24 * 2 * 2 + 2 * 9 * 2  # V' X_0 and U (.), and S (.)
    assert generated["candidate"] == 2 * (matrix + core + D + 2 * D + mlp(D, 3, 9)) + head
    weighted = make("dynint", interest="mean", mode="weighted", rank=3).flops_per_sample()
    masks = 3 * (matrix + 3 * D)
    assert weighted["candidate"] == 2 * (masks + 2 * D + mlp(D, 3, 2 * 24 * 3)) + head


# ---- what the formulas promise -----------------------------------------------------------------


@torch.no_grad()
def test_a_gate_of_one_makes_gdcn_p_a_dcn_v2_of_half_its_weights() -> None:
    gated, plain = make("gdcn_p", interest="mean"), make("dcnv2", tower=(), deep=(6,))
    for ours, theirs in zip(gated.crosses.layers, plain.cross, strict=True):
        ours.gate.weight.zero_()  # sigmoid(0) = 1/2
        ours.linear.weight.copy_(2 * theirs.linear.weight)
        ours.linear.bias.copy_(2 * theirs.linear.bias)
    for part in ("embedding", "deep", "tower"):
        getattr(gated, part).load_state_dict(getattr(plain, part).state_dict())
    batch = toy_batch(rows=5)
    for task, logit in plain(batch).items():
        torch.testing.assert_close(gated(batch)[task], logit)


@torch.no_grad()
def test_a_dcn_v2_of_equal_rows_is_a_dcn() -> None:
    dcn, dcnv2 = make("dcn", interest="mean"), make("dcnv2", tower=())
    for vector, matrix in zip(dcn.crosses, dcnv2.cross, strict=True):
        vector.bias.zero_()
        matrix.linear.bias.zero_()
        matrix.linear.weight.copy_(vector.weight.expand(D, D))
    for part in ("embedding", "deep", "tower"):
        getattr(dcn, part).load_state_dict(getattr(dcnv2, part).state_dict())
    batch = toy_batch(rows=5)
    for task, logit in dcnv2(batch).items():
        torch.testing.assert_close(dcn(batch)[task], logit)


@pytest.mark.parametrize(
    "fields", [{}, {"bits": True}, {"mode": "generated"}, {"mode": "weighted", "rank": 1}], ids=str
)
def test_dynint_begins_as_xdeepint(fields: dict[str, Any]) -> None:
    torch.manual_seed(0)
    config = {"embedding": EmbeddingConfig(width=4), "subspaces": 2}
    dynamic = find("dynint")(toy_spec(), find("dynint").config_type(**config, **fields))
    static = find("xdeepint")(toy_spec(), find("xdeepint").config_type(**config))
    static.load_state_dict(dynamic.state_dict(), strict=False)
    batch = toy_batch(rows=5)
    for task, logit in static(batch).items():
        torch.testing.assert_close(dynamic(batch)[task], logit)


@torch.no_grad()
def test_first_order_weights_begin_at_zero_and_read_ids_alone() -> None:
    kind = find("fm")
    torch.manual_seed(0)
    config = kind.config_type(embedding=EmbeddingConfig(width=4))
    model, batch = kind(toy_spec(), config).eval(), toy_batch(rows=5)
    assert isinstance(model, FieldRanker)
    assert model.first_order is not None
    assert not any(p.any() for p in model.first_order.parameters())
    before = model(batch)["click"]
    model.first_order.tables["item_id"].weight[:, 0] = torch.arange(20.0)
    moved = model(batch)["click"] - before
    torch.testing.assert_close(moved, batch.ids["item_id"].float(), atol=1e-4, rtol=1e-4)
    tables = {id(p) for p in model.embedding_parameters()}
    assert all(id(p) in tables for p in model.first_order.tables.parameters())


def test_refused_in_words() -> None:
    for name, fields, word in (
        ("fm", {"tower": (3,)}, "deepfm"),
        ("xdeepfm", {"maps": (3, 2)}, "even"),
        ("xdeepint", {"subspaces": 3}, "divide"),
        ("adaensemble", {"expert_shares": (0.5, 0.5)}, "2 shares for 5"),
        ("adaensemble", {"exit_shares": (0.5, 0.5, 0.5, 0.5)}, "add up to 1"),
        ("adaensemble", {"experts": ("cross", "cross"), "expert_shares": ()}, "twice"),
    ):
        with pytest.raises(ValueError, match=word):
            find(name).config_type(**fields)
