"""One look-up per batch, row-wise Adagrad and hashed tables against plain tables and loops."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from hemix.errors import DefinitionError
from hemix.models.data.batch import Batch
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.embedding.hashing import collisions, rows
from hemix.models.embedding.lookup import ABSENT, Lookup
from hemix.models.embedding.rowwise_adagrad import RowwiseAdagrad
from hemix.models.embedding.tables import BUCKETS, EmbeddingConfig, FeatureEmbedding
from hemix.models.layers import batch_rng
from hemix.models.rankers.base import Ranker
from hemix.models.rankers.registry import RANKERS, build
from hemix.models.training.losses import multi_task_bce
from hemix.models.training.recipes import RECIPES, recipe_of
from tests.models.files import write_split
from tests.models.training.ranks import train_in
from tests.models.training.test_distributed import assert_same_course
from tests.models.training.train_toy import toy_recipe, train

ROOT = Path(__file__).parents[3]
ROWWISE = {
    "model__embedding__sparse": "true",
    "training__embedding_optimizer": "rowwise_adagrad",
    "training__embedding_weight_decay": "0.01",
    "training__ema": "0",
}


def gradients(ranker: Ranker, batch: Batch, *, fused: bool) -> dict[str, Tensor]:
    """Dense gradients and the loss of one pass in training mode, with fixed random numbers."""
    ranker.zero_grad(set_to_none=True)
    torch.manual_seed(1)
    if fused:
        with ranker.embedding.looked_up(batch):
            loss = multi_task_bce(ranker(batch), batch.labels, {})
            loss.backward()
    else:
        loss = multi_task_bce(ranker(batch), batch.labels, {})
        loss.backward()
    found = {n: p.grad.to_dense() for n, p in ranker.named_parameters() if p.grad is not None}
    return found | {"loss": loss.detach()}


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize("ranker", RANKERS)
def test_one_lookup_changes_no_loss_and_no_gradient(ranker: str, sparse: bool) -> None:
    config = RECIPES["compact" if ranker == "hemix" else ranker]().model
    embedding = EmbeddingConfig(
        width=4, std=0.5, dropout=0.2, id_dropout=0.3, large=10, sparse=sparse,
        hashed={"user_id": 16},
    )  # fmt: skip
    torch.manual_seed(0)
    model = build(ranker, toy_spec(), config.model_copy(update={"embedding": embedding})).train()
    batch = toy_batch(rows=24, seed=2)
    plain, fused = (gradients(model, batch, fused=fused) for fused in (False, True))
    assert plain.keys() == fused.keys()
    for name, gradient in plain.items():
        torch.testing.assert_close(fused[name], gradient, rtol=1e-4, atol=1e-6, msg=name)
    assert all((places == ABSENT).all() for places in model.embedding._places.values())


def test_a_sparse_gradient_holds_each_row_of_the_batch_once() -> None:
    embedding = FeatureEmbedding(toy_spec(), EmbeddingConfig(width=3, sparse=True))
    batch = toy_batch(rows=2, seed=4)
    with embedding.looked_up(batch):
        embedding.fields(batch).sum().backward()
        for sequence in embedding.spec.sequences:
            embedding.sequence(batch, sequence)[0].sum().backward()
    gradient = embedding.tables["item_id"].weight.grad
    assert gradient is not None
    assert gradient.is_coalesced()
    used = set(batch.ids["item_id"].tolist()) | {0, 1}
    for sequence in ("global", "realtime"):
        used |= set(batch.lists[sequence].values[0].tolist())
    assert gradient.indices()[0].tolist() == sorted(used)


def test_an_id_of_another_batch_is_an_error_and_not_a_wrong_row() -> None:
    embedding = FeatureEmbedding(toy_spec(), EmbeddingConfig(width=3))
    batch = toy_batch(rows=1)
    with pytest.raises(IndexError), embedding.looked_up(batch):
        embedding.lookup("user_id", torch.arange(30))
    assert (embedding._places["user_id"] == ABSENT).all()


def test_a_batch_without_any_event_is_looked_up() -> None:
    embedding = FeatureEmbedding(toy_spec(), EmbeddingConfig(width=3)).train()
    batch = toy_batch(rows=4)
    for lists in batch.lists.values():
        assert lists.values.shape[1]
    empty = {
        name: replace(lists, values=lists.values[:, :0], offsets=torch.zeros_like(lists.offsets))
        for name, lists in batch.lists.items()
    }
    batch = replace(batch, lists=empty)
    with embedding.looked_up(batch):
        for sequence in embedding.spec.sequences:
            assert embedding.events(batch, sequence)[0].shape == (0, 9)
            assert embedding.sequence(batch, sequence)[0].shape == (4, 0, 9)
        embedding.fields(batch).sum().backward()


def test_few_ids_of_a_large_table_are_sorted_not_scanned() -> None:
    table = torch.nn.Embedding(1000, 2)
    ids = torch.tensor([[7, 900], [7, 3]], dtype=torch.int32)
    lookup = Lookup({"t": table.weight}, {"t": [ids]}, {}, sparse=False)
    assert lookup.touched["t"].tolist() == [3, 7, 900]
    assert torch.equal(lookup(["t"], [ids])[:, :, 0], table(ids))
    assert BUCKETS not in toy_spec().model_dump_json()


@pytest.mark.parametrize("sparse", [False, True])
def test_rowwise_adagrad_is_the_loop(sparse: bool) -> None:
    random = torch.Generator().manual_seed(0)
    table = torch.nn.Parameter(torch.randn(9, 4, generator=random))
    expected, total = table.detach().clone().tolist(), [0.0] * 9
    optimizer = RowwiseAdagrad([table], lr=0.1, weight_decay=0.05)
    for step in range(4):
        ids = torch.randint(0, 9, (5,), generator=random)
        values = torch.randn(5, 4, generator=random)
        gradient = torch.sparse_coo_tensor(ids[None], values, (9, 4))  # rows may repeat
        table.grad = gradient if sparse else gradient.to_dense()
        summed: dict[int, list[float]] = {}
        for row, value in zip(ids.tolist(), values.tolist(), strict=True):
            summed[row] = [a + b for a, b in zip(summed.get(row, [0.0] * 4), value, strict=True)]
        for row, g in summed.items():
            g = [x + 0.05 * w for x, w in zip(g, expected[row], strict=True)]
            total[row] += sum(x * x for x in g) / 4
            scale = 0.1 / (total[row] ** 0.5 + 1e-10)
            expected[row] = [w - scale * x for w, x in zip(expected[row], g, strict=True)]
        optimizer.step()
        torch.testing.assert_close(table.detach(), torch.tensor(expected), msg=f"step {step}")
    torch.testing.assert_close(optimizer.state[table]["sum"], torch.tensor(total))


@pytest.mark.slow
def test_rowwise_adagrad_takes_the_same_course_in_two_processes(tmp_path: Path) -> None:
    write_split(tmp_path / "train", rows=200, seed=0)
    write_split(tmp_path / "validation", rows=81, seed=5)
    recipe = toy_recipe(training__epochs="1", training__refit="false", **ROWWISE)
    train(tmp_path, tmp_path / "one", recipe)
    train_in(2, tmp_path, tmp_path / "two", recipe)
    assert_same_course(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_a_killed_rowwise_training_ends_with_the_same_bits(tmp_path: Path) -> None:
    write_split(tmp_path / "train", rows=200, seed=0)
    write_split(tmp_path / "validation", rows=81, seed=5)
    recipe = toy_recipe(training__epochs="1", training__refit="false", **ROWWISE)
    straight = train(tmp_path, tmp_path / "straight", recipe).ranker.state_dict()
    command = [
        sys.executable,
        "-m",
        "tests.models.training.train_toy",
        str(tmp_path),
        str(tmp_path / "k"),
    ]
    overrides = [f"{key}={value}" for key, value in
                 {"training__epochs": "1", "training__refit": "false", **ROWWISE}.items()]  # fmt: skip
    done = subprocess.run([*command, "5", *overrides], cwd=ROOT, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    killed = train(tmp_path, tmp_path / "k", recipe).ranker.state_dict()
    assert all(torch.equal(killed[name], weight) for name, weight in straight.items())


def test_frequent_ids_keep_a_row_and_the_others_are_spread() -> None:
    found = rows(torch.arange(10_000), 2_000)
    assert torch.equal(found[:1000], torch.arange(1000))
    assert ((found[1000:] >= 1000) & (found[1000:] < 2000)).all()
    counts = torch.bincount(found[1000:] - 1000, minlength=1000).float()
    # A random function gives each of 1,000 rows Poisson(9) ids: variance over mean 1 +- 0.09 (2 sd).
    assert 0.8 < counts.var() / counts.mean() < 1.2
    spec = toy_spec()
    report = collisions(spec, {"user_id": 16, "tag": 100})
    assert report.keys() == {"user_id"}
    in_row = [rows(torch.tensor(i), 16).item() for i in range(30)]
    assert report["user_id"].sharing == sum(in_row.count(row) > 1 for row in in_row)
    assert report["user_id"].most == max(in_row.count(row) for row in in_row)
    assert "30 ids in 16 rows" in report["user_id"].line


def test_a_hashed_table_is_small_and_ids_share_rows(tmp_path: Path) -> None:
    config = EmbeddingConfig(width=3, hashed={"user_id": 16, "tag": 100})
    embedding = FeatureEmbedding(toy_spec(), config)
    assert len(embedding.tables["user_id"].weight) == 16
    assert len(embedding.tables["tag"].weight) == 7
    ids = torch.arange(30)
    assert torch.equal(
        embedding.lookup("user_id", ids), embedding.tables["user_id"].weight[rows(ids, 16)]
    )
    write_split(tmp_path / "train", rows=100, seed=0)
    write_split(tmp_path / "validation", rows=81, seed=5)
    recipe = toy_recipe(
        model__embedding__hashed="{user_id: 16}", training__epochs="1", training__refit="false"
    )
    assert train(tmp_path, tmp_path / "c", recipe).collisions["user_id"].rows == 16
    with pytest.raises(DefinitionError, match=r"hashed.*'user'"):
        recipe_of("compact", {"model.embedding.hashed.user": "16"}).build(toy_spec())
    with pytest.raises(DefinitionError, match="hashed"):
        recipe_of("compact", {"model.embedding.hashed": "{user_id: 3}"})


def test_parts_of_a_batch_look_up_what_the_whole_does() -> None:
    config = EmbeddingConfig(width=4, dropout=0.3, id_dropout=0.3, large=10)
    embedding = FeatureEmbedding(toy_spec(), config).train()
    batch = toy_batch(rows=12, seed=3)
    torch.manual_seed(0)
    with embedding.looked_up(batch):
        whole = embedding.fields(batch)
    parts = []
    for part in (slice(0, 5), slice(5, 12)):
        torch.manual_seed(0)
        mine = batch.part(torch.arange(12), part)
        with batch_rng.batch_rows(local=part, global_size=12), embedding.looked_up(mine):
            parts.append(embedding.fields(mine))
    assert torch.equal(torch.cat(parts), whole)
