"""SIM, ETA, LONGER, HSTU and OneTrans against their loop-written references, and their masks."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from hemix.models.data.batch import Batch
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.tables import EmbeddingConfig
from hemix.models.rankers.base import Ranker, RankerConfig
from hemix.models.rankers.histories.eta import ETA, ETAConfig
from hemix.models.rankers.histories.hstu import HSTU, HSTUConfig
from hemix.models.rankers.histories.longer import LONGER, LONGERConfig
from hemix.models.rankers.histories.onetrans import OneTrans, OneTransConfig
from hemix.models.rankers.histories.sim import SIM, SIMConfig
from hemix.models.rankers.registry import RANKERS, build
from hemix.spec import FeatureSpec
from tests.models.rankers.histories.reference_sequences import eta_found, eta_logits, sim_logits
from tests.models.rankers.histories.reference_sequences_causal import (
    hstu_logits,
    longer_logits,
    onetrans_logits,
)

EMBEDDING = EmbeddingConfig(width=3)
REFERENCES: dict[str, Callable[[Any, Batch], dict[str, list[float]]]] = {
    "sim": sim_logits,
    "eta": eta_logits,
    "longer": longer_logits,
    "hstu": hstu_logits,
    "onetrans": onetrans_logits,
}


@dataclass(frozen=True)
class Case:
    """A ranker in some shape."""

    ranker: str
    config: RankerConfig
    gaps: bool = False

    @property
    def spec(self) -> FeatureSpec:
        return gap_spec() if self.gaps else toy_spec()


SIM_SMALL = SIMConfig(
    embedding=EMBEDDING, top=2, search_width=4, heads=2, head_width=3, trunk=(7, 6), tower=(5,)
)
ETA_SMALL = ETAConfig(
    embedding=EMBEDDING, top=2, bits=5, heads=2, head_width=3, trunk=(7,), tower=(5,)
)
LONGER_SMALL = LONGERConfig(
    embedding=EMBEDDING,
    event_width=4,
    merge=2,
    recent=2,
    layers=2,
    norm="layer",
    trunk=(7,),
    tower=(5,),
)
HSTU_SMALL = HSTUConfig(
    embedding=EMBEDDING, token_width=6, heads=2, layers=3, norm="layer", trunk=(7,), tower=(5,)
)
ONETRANS_SMALL = OneTransConfig(
    embedding=EMBEDDING,
    tokens=3,
    token_width=6,
    hidden=7,
    heads=2,
    layers=3,
    norm="rms",
    tower=(5,),
)
CASES = {
    "sim": Case("sim", SIM_SMALL),
    "sim finds all": Case("sim", SIM_SMALL.model_copy(update={"top": 6})),
    "eta": Case("eta", ETA_SMALL),
    "eta finds all": Case("eta", ETA_SMALL.model_copy(update={"top": 6})),
    "longer": Case("longer", LONGER_SMALL),
    "longer, cross alone": Case("longer", LONGER_SMALL.model_copy(update={"layers": 0})),
    "longer, groups of 4": Case("longer", LONGER_SMALL.model_copy(update={"merge": 4})),
    "longer, no norm": Case("longer", LONGER_SMALL.model_copy(update={"norm": "none"})),
    "hstu": Case("hstu", HSTU_SMALL),
    "hstu with gaps": Case("hstu", HSTU_SMALL, gaps=True),
    "hstu, one layer, no norm": Case(
        "hstu", HSTU_SMALL.model_copy(update={"layers": 1, "norm": "none"})
    ),
    "onetrans": Case("onetrans", ONETRANS_SMALL),
    "onetrans, no pyramid": Case("onetrans", ONETRANS_SMALL.model_copy(update={"pyramid": False})),
    "onetrans, no norm": Case("onetrans", ONETRANS_SMALL.model_copy(update={"norm": "none"})),
}
each_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)
each_ranker = pytest.mark.parametrize("case", [CASES[name] for name in REFERENCES], ids=REFERENCES)


def gap_spec() -> FeatureSpec:
    """The toy contract whose events have a time gap instead of an action."""
    spec = toy_spec()
    sequences = tuple(
        sequence.model_copy(
            update={
                "columns": tuple(
                    c.model_copy(update={"role": "gap"}) if c.role == "action" else c
                    for c in sequence.columns
                )
            }
        )
        for sequence in spec.sequences
    )
    return spec.model_copy(update={"sequences": sequences})


def make(case: Case) -> Ranker:
    """The ranker with weights large enough to matter everywhere."""
    torch.manual_seed(0)
    model = build(case.ranker, case.spec, case.config).eval()
    scale = 0.1 if getattr(case.config, "norm", "") == "none" else 0.3
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * scale)
    return model


def assert_equal(found: dict[str, torch.Tensor], wanted: dict[str, Any], within: float) -> None:
    for task, logit in found.items():
        expected = torch.as_tensor(wanted[task])
        torch.testing.assert_close(logit, expected, rtol=within, atol=within)


@each_case
def test_equals_the_loop_written_reference(case: Case) -> None:
    model, batch = make(case), toy_batch(rows=9, seed=3)
    assert_equal(model(batch), REFERENCES[case.ranker](model, batch), 1e-4)


@each_case
def test_a_requests_share_is_computed_once(case: Case) -> None:
    model, items = make(case), toy_batch(rows=5, seed=1)
    for row in range(4):
        request = toy_batch(rows=4, seed=2).take(torch.tensor([row]))
        rows = request.take(torch.zeros(5, dtype=torch.int64))
        whole = Batch(
            size=5,
            ids=rows.ids
            | {f.name: items.ids[f.name] for f in case.spec.categorical if f.side == "item"}
            | {f.bucket: items.ids[f.bucket] for f in case.spec.numeric if f.side == "item"},
            numbers=rows.numbers
            | {f.name: items.numbers[f.name] for f in case.spec.numeric if f.side == "item"},
            lists=rows.lists,
            labels={},
        )
        state = model.encode_request(request)
        only_items = replace(items, lists={}, labels={})
        assert_equal(model.score_candidates(state, only_items), model(whole), 1e-5)


@each_case
def test_padding_changes_nothing(case: Case) -> None:
    model, batch = make(case), toy_batch(rows=6, seed=4)
    further = {name: replace(lists, longest=11) for name, lists in batch.lists.items()}
    assert_equal(model(replace(batch, lists=further)), model(batch), 1e-5)
    alone = [model(batch.take(torch.tensor([row]))) for row in range(6)]
    assert_equal(
        model(batch), {task: torch.cat([a[task] for a in alone]) for task in alone[0]}, 1e-5
    )


@each_case
@pytest.mark.parametrize("empty", [{"global"}, {"realtime"}, {"global", "realtime"}])
def test_without_events_it_still_answers_and_learns(case: Case, empty: set[str]) -> None:
    model, batch = make(case).train(), toy_batch(rows=3)
    none = {
        name: replace(lists, values=lists.values[:, :0], offsets=lists.offsets * 0)
        for name, lists in batch.lists.items()
    }
    lists = {name: (none if name in empty else batch.lists)[name] for name in none}
    logits = model(replace(batch, lists=lists))
    torch.stack(list(logits.values())).sum().backward()
    assert all(logit.isfinite().all() for logit in logits.values())
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    assert gradients
    assert all(gradient.isfinite().all() for gradient in gradients)


@each_case
def test_every_parameter_learns(case: Case) -> None:
    model, batch = make(case).train(), toy_batch(rows=32, spec=case.spec)
    torch.stack(list(model(batch).values())).square().sum().backward()
    idle = [
        name
        for name, parameter in model.named_parameters()
        if parameter.grad is None or not parameter.grad.abs().sum()
    ]
    assert idle == []


@each_ranker
def test_the_order_of_events_matters_where_the_paper_has_one(case: Case) -> None:
    """SIM and ETA (all found) read a set; the causal rankers a sequence."""
    case = CASES.get(f"{case.ranker} finds all", case)
    model, batch = make(case), toy_batch(rows=1)
    values = torch.tensor([[3, 9, 14, 5], [1, 2, 5, 6], [1, 2, 3, 1]], dtype=torch.int32)
    offsets = torch.tensor([0, 4])
    one = replace(batch.lists["global"], values=values, offsets=offsets)
    other = replace(one, values=values.flip(1))
    before, after = (
        model(replace(batch, lists=batch.lists | {"global": lists}))["click"]
        for lists in (one, other)
    )
    assert torch.allclose(before, after, atol=1e-6) == (case.ranker in ("sim", "eta"))


def test_sim_finds_the_most_relevant_events() -> None:
    model = make(CASES["sim"])
    assert isinstance(model, SIM)
    batch = toy_batch(rows=9, seed=3)
    events = torch.randn(9, 5, 9)
    read = model.found.encode(events, torch.ones(9, 5, dtype=torch.bool))
    score = torch.randn(9, 5)
    found = model.search(read, score)
    for row in range(9):
        best = sorted(range(5), key=lambda j: -float(score[row, j]))[:2]
        rows = {tuple(events[row, j].tolist()) for j in best}
        assert {tuple(event.tolist()) for event in found.values[row]} == rows
    assert batch.size == 9


def test_eta_finds_the_nearest_hashes_and_takes_the_later_of_two() -> None:
    model = make(CASES["eta"])
    assert isinstance(model, ETA)
    batch = toy_batch(rows=40, seed=5)
    for row in range(40):
        one = batch.take(torch.tensor([row]))
        state = model.encode_request(one)
        from hemix.models.embedding.event_timeline import candidate

        target = candidate(model.embedding, model.spec.sequences[0], one)
        found = model.search(state, target)
        wanted = sorted(eta_found(model, batch, row))
        keys = state.found.keys[0][wanted]
        assert {tuple(k.tolist()) for k in found.keys[0][found.mask[0]]} == {
            tuple(k.tolist()) for k in keys
        }


def test_etas_planes_are_kept_with_the_weights_and_do_not_learn() -> None:
    model = make(CASES["eta"])
    assert model.state_dict()["planes"].shape == (6, 5)
    assert "planes" not in dict(model.named_parameters())


@pytest.mark.parametrize("ranker", REFERENCES)
def test_docstring_examples_run(ranker: str) -> None:
    module = importlib.import_module(RANKERS[ranker].__module__)
    found = doctest.testmod(module)
    assert found.failed == 0
    assert found.attempted


@pytest.mark.parametrize(
    ("config", "update"),
    [
        (LONGER_SMALL, {"merge": 3, "event_width": 3}),
        (HSTU_SMALL, {"heads": 4}),
        (ONETRANS_SMALL, {"heads": 4}),
    ],
)
def test_heads_must_divide_the_width(config: RankerConfig, update: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="heads"):
        type(config)(**(config.model_dump() | update))


# ---- FLOPs: 2 a multiply-add, written out for the shapes above ---------------------------------
# Width 3: fields of user and context 3 (9 numbers wide), of the item 3 (9), events 3 columns (9),
# of which the candidate has 2 (6). Global sequence 6 events, real-time 3. Two tasks.

TOWERS_5 = 2 * 2 * 5  # the last unit of two towers of one hidden layer of 5


def test_flops_of_sim_equal_a_hand_count() -> None:
    # Search: keys 6 x 9 x 4; query 6 x 4, scores 6 x 4, sum 6 x 9. Attention of 2 heads of 3:
    # keys 9 x 6 an event; query 6 x 6, scores 6 an event read, sums 2 x 9 an event read.
    request = 2 * (9 * 7 + 6 * 9 * 4 + 6 * 9 * 6 + 3 * 9 * 6)
    search = 6 * 4 + 6 * 4 + 6 * 9
    read = (6 * 6 + 2 * 6 + 2 * 18) + (6 * 6 + 3 * 6 + 3 * 18)
    trunk = (9 + 9 + 18 + 18) * 7 + 7 * 6
    candidate = 2 * (search + read + trunk + 2 * 6 * 5) + TOWERS_5
    assert make(CASES["sim"]).flops_per_sample() == {"request": request, "candidate": candidate}


def test_flops_of_eta_equal_a_hand_count() -> None:
    # Hashes: 6 x 6 x 5; the candidate's 6 x 5, products 6 x 5. Attention: keys and values 9 x 6 an
    # event; query 6 x 6, scores and sums 6 an event read each, WO 6 x 6.
    request = 2 * (9 * 7 + 6 * 6 * 5 + 2 * 6 * 9 * 6 + 2 * 3 * 9 * 6)
    read = (36 + 2 * 2 * 6 + 36) + (36 + 2 * 3 * 6 + 36)
    candidate = 2 * (6 * 5 + 6 * 5 + read + (9 + 6 + 6) * 7 + 2 * 7 * 5) + TOWERS_5
    assert make(CASES["eta"]).flops_per_sample() == {"request": request, "candidate": candidate}


def layer_flops(width: int, hidden: int, tokens: int, queries: int) -> int:
    """Multiply-adds: keys, values; query, WO, FFN; scores and sums."""
    one = 2 * width**2 + 2 * width * hidden + 2 * tokens * width
    return tokens * 2 * width**2 + queries * one


def test_flops_of_longer_equal_a_hand_count() -> None:
    # 9 events of width 9 to 4; 5 merged tokens of 2 events; user and CLS before them.
    inner = 5 * layer_flops(4, 16, 2, 2)
    layers = layer_flops(8, 32, 7, 4) + layer_flops(8, 32, 4, 4) + layer_flops(8, 32, 4, 2)
    request = 2 * (9 * 9 * 4 + inner + 9 * 8 + layers + (9 + 16) * 7)
    one = 4 * 8**2 + 2 * 8 * 32  # query, key, value, WO and FFN of the candidate's token
    own = 3 * one + 2 * 8 * ((7 + 1) + (4 + 1) + (4 + 1))
    candidate = 2 * (9 * 8 + own + (9 + 8) * 7 + 2 * 7 * 5) + TOWERS_5
    assert make(CASES["longer"]).flops_per_sample() == {"request": request, "candidate": candidate}


def test_flops_of_hstu_equal_a_hand_count() -> None:
    # f1 4 x 6 x 6 and f2 6 x 6 a token, scores and sums 2 x 9 x 6; the last layer keys and values.
    layer, last = 9 * (5 * 36 + 2 * 9 * 6), 9 * 2 * 36
    request = 2 * (9 * 9 * 6 + 2 * layer + last + 9 * 7)
    own = 3 * (5 * 36 + 2 * 10 * 6)
    candidate = 2 * (6 * 6 + own + (9 + 6) * 7 + 2 * 7 * 5) + TOWERS_5
    assert make(CASES["hstu"]).flops_per_sample() == {"request": request, "candidate": candidate}


def test_flops_of_onetrans_equal_a_hand_count() -> None:
    # 10 behaviour tokens, then 6, then 3, then none; each projected by both sequences' weights.
    layers = layer_flops(6, 12, 10, 6) + layer_flops(6, 12, 6, 3) + layer_flops(6, 12, 3, 0)
    request = 2 * (2 * 10 * 9 * 6 + 9 * 7 + layers)
    one = 4 * 6**2 + 2 * 6 * 12
    own = 3 * (3 * one + 2 * 6 * ((10 + 3) + (6 + 3) + (3 + 3)))
    candidate = 2 * (9 * 7 + 7 * 18 + own + 2 * 18 * 5) + TOWERS_5
    model = make(CASES["onetrans"])
    assert model.flops_per_sample() == {"request": request, "candidate": candidate}


def test_the_classes_are_those_of_the_registry() -> None:
    kinds = {kind.name: kind for kind in (SIM, ETA, LONGER, HSTU, OneTrans)}
    assert {name: RANKERS[name] for name in kinds} == kinds
