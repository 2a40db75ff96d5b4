"""Scores kept beside the weights are those of the plain forward pass, pair by pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hemix.models.data.batch import Batch
from hemix.models.data.toy import toy_spec
from hemix.models.rankers.registry import build
from hemix.models.training.recipes import recipe_of
from hemix.models.versions.reference_scores import CANDIDATES, REQUESTS, eager_scores, pairs
from tests.models.files import write_split


def test_pairs_spread_over_the_rows_and_start_with_the_rows_own_item() -> None:
    requests, items = pairs(1000)
    assert requests.size == items.size == REQUESTS * CANDIDATES
    assert (requests[0], requests[-1]) == (0, 999)
    assert (requests[::CANDIDATES] == items[::CANDIDATES]).all()
    assert items.max() < 1000
    assert (pairs(1000)[1] == items).all()
    requests, items = pairs(3)
    assert sorted(set(requests.tolist())) == [0, 1, 2]


@pytest.mark.parametrize("recipe", ["compact", "din"])
def test_eager_scores_are_those_of_rows_put_together_by_hand(recipe: str, tmp_path: Path) -> None:
    table = write_split(tmp_path, rows=40, files=1)
    spec = toy_spec()
    chosen = recipe_of(recipe)
    torch.manual_seed(0)
    ranker = build(chosen.ranker, spec, chosen.model).eval()
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
    eager = eager_scores(ranker, table)
    whole = Batch.from_table(spec, table)
    item_columns = {f.name for f in spec.categorical if f.side == "item"}
    item_columns |= {name for f in spec.numeric if f.side == "item" for name in (f.name, f.bucket)}
    for row in range(0, eager.num_rows, 7):
        user = whole.take(torch.tensor([eager["request"][row].as_py()]))
        item = whole.take(torch.tensor([eager["item"][row].as_py()]))
        for name in item_columns:
            columns = user.ids if name in user.ids else user.numbers
            columns[name] = (item.ids if name in item.ids else item.numbers)[name]
        with torch.no_grad():
            logits = ranker(user)
        for task in ("click", "long_view"):
            found = eager[f"p_{task}"][row].as_py()
            np.testing.assert_allclose(found, logits[task].sigmoid().item(), atol=1e-5)
