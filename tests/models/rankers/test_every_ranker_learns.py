"""Every ranker of the registry, in the default shape of its recipe, learns a toy rule."""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as fn

from hemix.models.data.toy import toy_spec
from hemix.models.rankers.base import Ranker
from hemix.models.rankers.registry import RANKERS, build
from hemix.models.training.recipes import RECIPES
from tests.models.files import learnable_batch

pytestmark = pytest.mark.slow

AT_ONCE = (
    *("hemix", "dcnv2", "din", "sim", "eta", "longer", "hstu", "onetrans"),
    *("dlrm", "autoint", "wukong", "hiformer", "rankmixer", "tokenmixer_large"),
)
"""Those that need four passes; another may need more, but learns."""
PASSES = 40


def learns(model: Ranker, passes: int) -> bool:
    """Whether every task is ranked better than by chance after ``passes`` of the toy rows at most."""
    train, test = learnable_batch(rows=512, seed=0), learnable_batch(rows=512, seed=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for done in range(passes):
        for order in torch.randperm(512).split(128):
            batch = train.take(order)
            losses = [
                fn.binary_cross_entropy_with_logits(logit, batch.labels[task])
                for task, logit in model.train()(batch).items()
            ]
            optimizer.zero_grad()
            torch.stack(losses).sum().backward()
            optimizer.step()
        if done % 4 == 3:
            with torch.no_grad():
                scores = model.eval()(test)
            if all(
                roc_auc_score(test.labels[t].numpy(), s.numpy()) > 0.65 for t, s in scores.items()
            ):
                return True
    return False


@pytest.mark.parametrize("name", RANKERS)
def test_learns_better_than_chance(name: str) -> None:
    torch.manual_seed(0)
    recipe = RECIPES["compact" if name == "hemix" else name]()
    model = build(recipe.ranker, toy_spec(), recipe.model)
    assert learns(model, 4 if name in AT_ONCE else PASSES)
