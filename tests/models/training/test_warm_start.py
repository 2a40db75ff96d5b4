"""Warm start: every weight lands where its meaning is, and what does not fit is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hemix.errors import ModelVersionError
from hemix.models.data.batch import Batch, Jagged
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.rankers.base import Ranker
from hemix.models.training.objectives.objective import Objective
from hemix.models.training.recipes import recipe_of
from hemix.models.training.warm_start import (
    NEW,
    Scale,
    TransformContents,
    bucket_sources,
    move,
    row_sources,
)
from hemix.spec import FeatureSpec, Vocabulary

LEARNED = ("user_id", "item_id", "tag", "action")


def spec_of(values: dict[str, list[bytes]], oov: int = 1) -> FeatureSpec:
    """The toy contract with vocabularies of these values."""
    spec = toy_spec()
    vocabularies = tuple(
        Vocabulary(name=v.name, size=1 + oov + len(values[v.name]), oov_buckets=oov)
        if v.name in values
        else v
        for v in spec.vocabularies
    )
    return spec.model_copy(update={"vocabularies": vocabularies})


def names(prefix: str, numbers: list[int]) -> list[bytes]:
    return [f"{prefix}{number}".encode() for number in numbers]


OLD_VALUES = {
    "user_id": names("u", list(range(28))),
    "item_id": names("i", list(range(18))),
    "tag": names("t", list(range(5))),
    "action": names("a", list(range(3))),
}
# Other order, some gone, some new.
NEW_VALUES = {
    "user_id": names("u", [5, 3, 40, *range(6, 28), 41]),
    "item_id": names("i", [17, 99, *range(10), 50]),
    "tag": names("t", [4, 3, 2, 1, 0]),
    "action": names("a", [2, 0, 1]),
}
OLD_SCALES = {
    "age": Scale(mean=30.0, deviation=8.0, edges=(20.0, 30.0, 45.0)),
    "clicks": Scale(mean=1.2, deviation=0.9, edges=(1.0, 4.0), log=True),
}
NEW_SCALES = {
    "age": Scale(mean=33.0, deviation=10.0, edges=(20.0, 30.0, 45.0)),
    "clicks": Scale(mean=1.5, deviation=0.7, edges=(1.0, 4.0), log=True),
}


def meaning(
    values: dict[str, list[bytes]], scales: dict[str, Scale], oov: int = 1
) -> TransformContents:
    return TransformContents(spec=spec_of(values, oov), values=values, scales=scales)


OLD, NEWER = meaning(OLD_VALUES, OLD_SCALES), meaning(NEW_VALUES, NEW_SCALES)


def ranker(spec: FeatureSpec, seed: int, recipe: str = "compact", **fields: str) -> Ranker:
    overrides = {"model.embedding.std": "0.5", "model.embedding.direction_std": "0.5"}
    if recipe == "compact":
        overrides |= {"model.token_width": "8", "model.tower": "[8]"}
    overrides |= {key.replace("__", "."): value for key, value in fields.items()}
    torch.manual_seed(seed)
    made = recipe_of(recipe, overrides).build(spec).eval()
    for weight in made.embedding_parameters():
        if not weight.any():  # first-order weights begin at 0
            torch.nn.init.normal_(weight, std=0.5)
    return made


def with_weights(spec: FeatureSpec, weights: dict[str, torch.Tensor], recipe: str) -> Ranker:
    found = ranker(spec, 9, recipe)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            parameter.copy_(weights[name])
    return found


def slow_row_sources(
    values: list[bytes], oov: int, old_values: list[bytes], old_oov: int
) -> list[int]:
    """Id by id: what it means, and which old id meant that."""
    found = []
    for id_ in range(1 + oov + len(values)):
        if id_ == 0:
            found.append(0)
        elif id_ <= oov:
            if oov == old_oov:
                found.append(id_)
            else:
                found.append(1 if old_oov > 0 else NEW)
        else:
            value = values[id_ - 1 - oov]
            source = NEW
            for j in range(len(old_values)):
                if old_values[j] == value:
                    source = 1 + old_oov + j
            found.append(source)
    return found


@pytest.mark.parametrize(("oov", "old_oov"), [(1, 1), (3, 3), (2, 1), (1, 4), (1, 0), (0, 0)])
def test_rows_are_those_of_the_slow_way(oov: int, old_oov: int) -> None:
    random = np.random.default_rng(oov + 7 * old_oov)
    for _ in range(20):
        old = names("v", random.permutation(30)[: random.integers(0, 30)].tolist())
        new = names("v", random.permutation(40)[: random.integers(0, 40)].tolist())
        assert row_sources(new, oov, old, old_oov).tolist() == slow_row_sources(
            new, oov, old, old_oov
        )


def slow_bucket(raw: float, scale: Scale) -> int:
    bucket = 1
    for edge in scale.edges:
        if raw >= edge:
            bucket += 1
    return bucket


def slow_bucket_sources(scale: Scale, buckets: int, old: Scale) -> list[int]:
    """Bucket by bucket: its middle in raw units, and the old bucket there."""
    found = [0]
    for bucket in range(1, buckets):
        if bucket == 1:
            found.append(1)
        elif bucket <= len(scale.edges):
            middle = (scale.edges[bucket - 2] + scale.edges[bucket - 1]) / 2
            found.append(slow_bucket(middle, old))
        elif bucket == len(scale.edges) + 1:
            found.append(len(old.edges) + 1)
        else:
            found.append(bucket)
    return found


def test_buckets_are_those_of_the_slow_way() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        edges, before = (
            tuple(sorted(set(random.integers(0, 60, random.integers(1, 9)).astype(float).tolist())))
            for _ in range(2)
        )
        scale = Scale(mean=0, deviation=1, edges=edges)
        old = Scale(mean=0, deviation=1, edges=before)
        sources = bucket_sources(scale, 12, old, 12).tolist()
        assert sources == slow_bucket_sources(scale, 12, old)
        assert bucket_sources(old, 12, old, 12).tolist() == list(range(12))


def raw_batches(rows: int = 60) -> tuple[Batch, Batch]:
    """The same raw rows as the old and as the new transform write them; no value is unknown."""
    random = np.random.default_rng(3)
    shared = {n: [v for v in OLD_VALUES[n] if v in NEW_VALUES[n]] for n in LEARNED}

    def ids(name: str, chosen: np.ndarray, values: dict[str, list[bytes]]) -> torch.Tensor:
        found = [0 if k < 0 else 2 + values[name].index(shared[name][k]) for k in chosen]
        return torch.tensor(found, dtype=torch.int32)

    def choose(name: str, count: int) -> np.ndarray:
        return random.integers(-1, len(shared[name]), count)

    template = toy_batch(rows=rows, seed=1)
    fields = {f.name: f.vocabulary for f in toy_spec().categorical if f.vocabulary in LEARNED}
    chosen = {field: choose(vocabulary, rows) for field, vocabulary in fields.items()}
    events = {
        s.name: [choose(c.vocabulary, template.lists[s.name].values.shape[1]) for c in s.columns]
        for s in toy_spec().sequences
    }
    raw = {"age": random.uniform(5, 80, rows), "clicks": random.integers(0, 9, rows).astype(float)}
    missing = random.random(rows) < 0.2

    def batch(values: dict[str, list[bytes]], scales: dict[str, Scale]) -> Batch:
        numbers, buckets = {}, {}
        for name, scale in scales.items():
            y = np.log1p(raw[name]) if scale.log else raw[name]
            x = np.where(missing, 0, (y - scale.mean) / scale.deviation)
            b = [
                0 if gone else slow_bucket(r, scale)
                for r, gone in zip(raw[name], missing, strict=True)
            ]
            numbers[name] = torch.tensor(x, dtype=torch.float32)
            buckets[f"{name}_bucket"] = torch.tensor(b, dtype=torch.int32)
        lists = {
            s.name: Jagged(
                values=torch.stack(
                    [
                        ids(c.vocabulary, k, values)
                        for c, k in zip(s.columns, events[s.name], strict=True)
                    ]
                ),
                offsets=template.lists[s.name].offsets,
            )
            for s in toy_spec().sequences
        }
        own = {
            field: ids(vocabulary, chosen[field], values) for field, vocabulary in fields.items()
        }
        return replace(
            template, ids={**template.ids, **buckets, **own}, numbers=numbers, lists=lists
        )

    return batch(OLD_VALUES, OLD_SCALES), batch(NEW_VALUES, NEW_SCALES)


@pytest.mark.parametrize("recipe", ["compact", "dcnv2", "din", "fm"])
def test_known_rows_score_as_before_where_edges_are_the_same(recipe: str) -> None:
    old = ranker(OLD.spec, 0, recipe)
    moved = move(old, ranker(NEWER.spec, 1, recipe), OLD, NEWER)
    new = with_weights(NEWER.spec, moved.weights, recipe)
    before, now = raw_batches()
    with torch.no_grad():
        for task, logit in old(before).items():
            torch.testing.assert_close(new(now)[task], logit, atol=2e-5, rtol=2e-5)
    assert moved.fresh == []
    assert moved.rows["item_id"] + moved.new["item_id"] == NEWER.spec.vocabulary("item_id").size
    assert moved.new["item_id"] == 2
    assert moved.new["tag"] == moved.new["hour"] == 0


def test_statistics_of_batch_norms_are_carried() -> None:
    old = ranker(OLD.spec, 0, "dcnv2", model__deep_norm="batch")
    kept = {n: b.normal_() for n, b in old.named_buffers() if n.endswith("running_mean")}
    moved = move(old, ranker(NEWER.spec, 1, "dcnv2", model__deep_norm="batch"), OLD, NEWER)
    assert kept
    for name, value in kept.items():
        assert torch.equal(moved.weights[name], value)


@pytest.mark.parametrize("new_rows", ["unknown", "fresh"])
def test_new_ids_begin_as_the_unknown_id_or_fresh(new_rows: str) -> None:
    old, new = ranker(OLD.spec, 0), ranker(NEWER.spec, 1)
    moved = move(old, new, OLD, NEWER, new_rows=new_rows)  # type: ignore[arg-type]
    name = "embedding.tables.item_id.weight"
    own, before = dict(new.named_parameters())[name], dict(old.named_parameters())[name]
    id_of_99 = 2 + NEW_VALUES["item_id"].index(b"i99")
    expected = before[1] if new_rows == "unknown" else own[id_of_99]
    assert torch.equal(moved.weights[name][id_of_99], expected)
    assert torch.equal(moved.weights[name][2], before[2 + 17])
    assert torch.equal(moved.weights[name][:2], before[:2])


def test_other_edges_take_the_bucket_at_their_middle() -> None:
    scales = {**NEW_SCALES, "age": Scale(mean=30.0, deviation=8.0, edges=(26.0, 38.0, 50.0))}
    newer = meaning(NEW_VALUES, scales)
    old = ranker(OLD.spec, 0)
    moved = move(old, ranker(newer.spec, 1), OLD, newer).weights["embedding.buckets.weight"]
    # Buckets from 26 to 38 and 38 to 50: middles 32 and 44, both in the old bucket from 30 to 45.
    assert torch.equal(moved[:5], old.embedding.buckets.weight[[0, 1, 3, 3, 4]])


def test_tables_that_cannot_be_moved_are_fresh_and_named() -> None:
    old = ranker(OLD.spec, 0, model__embedding__hashed="{user_id: 16}")
    new = ranker(NEWER.spec, 1, model__embedding__hashed="{user_id: 16}")
    moved = move(old, new, OLD, replace(NEWER, scales={"age": NEW_SCALES["age"]}))
    assert moved.fresh == ["user_id", "clicks"]
    name = "embedding.tables.user_id.weight"
    assert torch.equal(moved.weights[name], dict(new.named_parameters())[name])


def test_what_does_not_fit_is_refused() -> None:
    old = ranker(OLD.spec, 0)

    def refused(new: Ranker, named: str, newer: TransformContents = NEWER) -> None:
        with pytest.raises(ModelVersionError, match=named):
            move(old, new, OLD, newer)

    refused(ranker(NEWER.spec, 1, "din"), "a hemix, the recipe a din")
    refused(
        ranker(NEWER.spec, 1, model__token_width="16"),
        r"is \[.*\] in this recipe, \[.*\] in the ear",
    )
    refused(ranker(NEWER.spec, 1, model__crosses="2"), "no such weight in the earlier")
    refused(ranker(NEWER.spec, 1, model__crosses="0"), "is no such weight in this recipe")
    refused(ranker(NEWER.spec, 1, model__embedding__width="16"), "model.embedding.width is 16")
    less = NEWER.spec.model_copy(update={"numeric": NEWER.spec.numeric[:1]})
    refused(ranker(less, 1), "other numbers: 2 there, 1 here")
    first, *rest = NEWER.spec.categorical
    moved_field = NEWER.spec.model_copy(update={"categorical": (*rest, first)})
    refused(ranker(moved_field, 1), "other id fields: 'user_id' there, 'item_id' here")
    tasks = NEWER.spec.model_copy(update={"tasks": NEWER.spec.tasks[:1]})
    refused(ranker(tasks, 1), "other tasks")
    wrong = replace(NEWER, values={**NEW_VALUES, "item_id": NEW_VALUES["item_id"][:-1]})
    refused(ranker(NEWER.spec, 1), "'item_id' holds", wrong)


def test_codebooks_are_carried_and_an_objective_may_change() -> None:
    """Codebooks and uncertainties go on; beside a log-loss version they begin anew; the reverse fits."""
    fields = {f"training.objective.group_ce.{k}": v for k, v in (("weight", "1"), ("codes", "3"))}
    held, other = ranker(OLD.spec, 0, **fields), ranker(NEWER.spec, 1, **fields)
    assert isinstance(held.objective, Objective)
    assert held.objective.group_ce is not None
    held.objective.group_ce.learn(torch.arange(30), held.objective.table(held))
    moved = move(held, other, OLD, NEWER)
    for name in ("vectors", "counts", "sums", "ready"):
        key = f"objective.group_ce.codebooks.{name}"
        assert torch.equal(moved.weights[key], held.state_dict()[key])
    assert "objective.group_ce.seen" not in moved.weights  # of rows that are numbered anew
    assert bool(moved.weights["objective.group_ce.codebooks.ready"])
    plain = ranker(OLD.spec, 2)
    assert not any("codebooks" in name for name in move(plain, other, OLD, NEWER).weights)
    assert not any("objective" in name for name in move(held, plain, OLD, OLD).weights)
