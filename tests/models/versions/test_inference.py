"""Splitting a request from its candidates changes no score."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hemix.errors import DataError
from hemix.models.data.batch import Batch, Column
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.rankers.base import Ranker, RankerConfig
from hemix.models.rankers.crossing.dcnv2 import DCNv2Config
from hemix.models.rankers.hemix.config import HeMixConfig
from hemix.models.rankers.histories.din import DINConfig
from hemix.models.rankers.registry import build
from hemix.models.versions.inference import Scorer, predict_batch

CONFIGS: dict[str, RankerConfig] = {
    "hemix": HeMixConfig(token_width=8, rank=3),
    "hemix_crosses": HeMixConfig(token_width=8, rank=3, crosses=2),
    "dcnv2": DCNv2Config(),
    "din": DINConfig(),
}


def columns_of(batch: Batch, sides: tuple[str, ...]) -> dict[str, Column]:
    """A batch's columns of some sides in the form that the transform graph returns."""
    spec = toy_spec()
    columns: dict[str, Column] = {
        f.name: batch.ids[f.name].numpy() for f in spec.categorical if f.side in sides
    }
    for number in spec.numeric:
        if number.side in sides:
            columns[number.name] = batch.numbers[number.name].numpy()
            columns[number.bucket] = batch.ids[number.bucket].numpy()
    if "user" in sides:
        for sequence in spec.sequences:
            jagged = batch.lists[sequence.name]
            for index, column in enumerate(sequence.columns):
                columns[column.column] = (jagged.values[index].numpy(), jagged.offsets.numpy())
    return columns


def make(name: str) -> Ranker:
    torch.manual_seed(0)
    ranker = build(name.split("_")[0], toy_spec(), CONFIGS[name]).eval()
    with torch.no_grad():
        for parameter in ranker.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return ranker


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("candidates", [1, 2, 9])
@pytest.mark.parametrize("seed", range(3))
def test_request_scores_equal_the_plain_forward_pass(name: str, candidates: int, seed: int) -> None:
    ranker = make(name)
    user, items = toy_batch(rows=1, seed=seed), toy_batch(rows=candidates, seed=seed + 10)
    got = Scorer(ranker).score(columns_of(user, ("user", "context")), columns_of(items, ("item",)))
    item_side = Batch.from_columns(toy_spec(), columns_of(items, ("item",)), ("item",))
    rows = user.take(torch.zeros(candidates, dtype=torch.int64)).beside(item_side)
    with torch.no_grad():
        plain = {task: logit.sigmoid().numpy() for task, logit in ranker(rows).items()}
    for task, scores in got.items():
        assert scores.dtype == np.float32
        assert scores.shape == (candidates,)
        np.testing.assert_allclose(scores, plain[task], atol=1e-5)


def test_slices_of_a_table_give_the_same_scores() -> None:
    ranker, batch = make("hemix"), toy_batch(rows=23)
    whole, parts = predict_batch(ranker, batch), predict_batch(ranker, batch, rows=5)
    np.testing.assert_allclose(whole["click"], parts["click"], atol=1e-6)


def test_a_missing_column_is_named() -> None:
    items = columns_of(toy_batch(rows=2), ("item",))
    del items["tag"]
    user = columns_of(toy_batch(rows=1), ("user", "context"))
    with pytest.raises(DataError, match="'tag'"):
        Scorer(make("hemix")).score(user, items)
