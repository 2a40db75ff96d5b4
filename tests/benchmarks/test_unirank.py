"""Every variant can be built, differs from the first, and cold rows are told apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from benchmarks.accuracy.data import HeldOut, RunData
from benchmarks.accuracy.unirank import VARIANTS, slices
from benchmarks.accuracy.variants import sliced
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.training.recipes import recipe_of


@pytest.mark.parametrize("name", [name for name in VARIANTS if name != "HeMix"])
def test_a_variant_scores_rows_and_is_another_model(name: str) -> None:
    first, recipe = recipe_of("compact"), recipe_of("compact", VARIANTS[name])
    assert recipe.model != first.model
    torch.manual_seed(0)
    logits = recipe.build(toy_spec()).eval()(toy_batch(rows=2))
    assert all(torch.isfinite(logit).all() for logit in logits.values())


def test_rows_of_new_users_and_items_are_measured_apart(tmp_path: Path) -> None:
    def write(split: str, users: list[str], items: list[str]) -> None:
        (tmp_path / split).mkdir()
        table = pa.table({"user_id": users, "item_id": items})
        pq.write_table(table, tmp_path / split / "0.parquet")

    write("train", ["a", "b"], ["x", "y"])
    write("test", ["a", "b", "c", "a"], ["x", "y", "x", "z"])
    found = slices(RunData(tmp_path, tmp_path))
    assert {name: rows.tolist() for name, rows in found.items()} == {
        "known user and item": [True, True, False, False],
        "new user": [False, False, True, False],
        "new item": [False, False, False, True],
    }
    test = HeldOut(
        users=np.arange(4), requests=np.arange(4), labels={"click": np.array([1.0, 0, 1, 0])}
    )
    scores = [{"click": np.array(p, np.float32)} for p in ([0.9, 0.1, 0.5, 0.5], [0.1, 0.9, 0, 0])]
    measured = sliced(scores, found, test)
    assert measured["known user and item"]["rows"] == 2
    assert measured["known user and item"]["auc"]["click"]["mean"] == 0.5  # 1 and 0
    assert measured["new user"] == {"rows": 1, "auc": {}}, "one label alone has no AUC"
