"""Every ranker of the registry, in the default shape of its recipe, learns a toy rule."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as fn

from hemix.models.data.toy import toy_spec
from hemix.models.rankers.registry import RANKERS, build
from hemix.models.training.recipes import RECIPES
from tests.models.files import learnable_batch


@pytest.mark.parametrize("name", RANKERS)
def test_learns_better_than_chance(name: str) -> None:
    torch.manual_seed(0)
    recipe = RECIPES["compact" if name == "hemix" else name]()
    model = build(recipe.ranker, toy_spec(), recipe.model)
    train, test = learnable_batch(rows=512, seed=0), learnable_batch(rows=512, seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(4):
        for order in torch.randperm(512).split(128):
            batch = train.take(order)
            losses = [
                fn.binary_cross_entropy_with_logits(logit, batch.labels[task])
                for task, logit in model(batch).items()
            ]
            optimizer.zero_grad()
            torch.stack(losses).sum().backward()
            optimizer.step()
    with torch.no_grad():
        scores = model.eval()(test)
    for task, score in scores.items():
        assert roc_auc_score(test.labels[task].numpy(), score.numpy()) > 0.65, task
