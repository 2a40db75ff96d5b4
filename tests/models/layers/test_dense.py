"""The deep network's norms: the papers' formulas, one row, what training may not combine with them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from hemix.errors import DefinitionError
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.layers.dense import MLP
from hemix.models.training.recipes import recipe_of


def slow(mlp: MLP, rows: Tensor, axis: int) -> Tensor:
    """Linear, (x - mean) / deviation along ``axis``, ReLU, for every width."""
    for layer in range(0, len(mlp.net), 4):
        linear, norm = mlp.net[layer], mlp.net[layer + 1]
        y = rows @ linear.weight.T + linear.bias
        mean = y.mean(axis, keepdim=True)
        variance = ((y - mean) ** 2).mean(axis, keepdim=True)
        rows = ((y - mean) / (variance + 1e-5).sqrt() * norm.weight + norm.bias).clamp(min=0)
    return rows


@pytest.mark.parametrize(("norm", "axis"), [("batch", 0), ("layer", 1)])
@torch.no_grad()
def test_norms_are_their_papers(norm: str, axis: int) -> None:
    mlp = MLP(5, (4, 3), norm=norm).double()  # type: ignore[arg-type]
    for parameter in mlp.parameters():
        parameter.normal_()
    rows = torch.randn(7, 5, dtype=torch.float64)
    torch.testing.assert_close(mlp(rows), slow(mlp, rows, axis))


@torch.no_grad()
def test_batch_norm_serves_with_the_statistics_it_kept_and_trains_on_one_row_with_them() -> None:
    torch.manual_seed(0)
    mlp = MLP(5, (4,), norm="batch")
    for _ in range(200):
        mlp(3 + torch.randn(64, 5))
    rows = 3 + torch.randn(1024, 5)
    trained, kept = mlp(rows), {k: v.clone() for k, v in mlp.state_dict().items()}
    alone = torch.cat([mlp(row[None]) for row in rows])
    torch.testing.assert_close(alone, mlp.eval()(rows))
    assert (alone - trained).abs().mean() < 0.1
    for name, value in mlp.state_dict().items():
        torch.testing.assert_close(value, kept[name])


DEEP = ("deepfm", "nfm", "xdeepfm", "afn", "fibinet", "dcn", "dcnv2", "gdcn_s", "gdcn_p")
REFINED = ("fen", "dfen", "gfrl", "frnet_b")


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        *((name, {"model.deep_norm": "batch"}) for name in DEEP),
        *(("fm", {"model.refine": one, "model.refinement.norm": "batch"}) for one in REFINED),
    ],
    ids=(*DEEP, *REFINED),
)
@torch.no_grad()
def test_every_deep_network_takes_the_norm_and_scores_a_row_alone_as_in_a_batch(
    name: str, setting: dict[str, str]
) -> None:
    ranker = recipe_of(name, setting).build(toy_spec())
    before = {n: b.clone() for n, b in ranker.named_buffers() if n.endswith("running_mean")}
    assert before
    ranker.train()(toy_batch(rows=8))
    moved = dict(ranker.named_buffers())
    assert all((moved[n] != b).any() for n, b in before.items())
    ranker.eval()
    batch = toy_batch(rows=4)
    whole = ranker(batch)
    for row in range(4):
        alone = ranker(batch.take(torch.tensor([row])))
        for task, logit in alone.items():
            torch.testing.assert_close(logit[0], whole[task][row])


@pytest.mark.parametrize(
    "setting",
    [{"processes": "2"}, {"nodes": "2"}, {"accumulate": "2"}, {"ema": "0.9"}],
    ids=str,
)
@pytest.mark.parametrize("field", ["deep_norm", "refinement.norm"])
def test_a_batch_in_parts_is_refused_with_batch_norm_alone(
    setting: dict[str, str], field: str
) -> None:
    given = {f"training.{name}": value for name, value in setting.items()}
    (name,) = setting
    with pytest.raises(DefinitionError, match=f"training.{name}=.*model.{field}=layer"):
        recipe_of("deepfm", {f"model.{field}": "batch", **given})
    recipe_of("deepfm", {f"model.{field}": "layer", **given})
