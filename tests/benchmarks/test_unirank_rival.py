"""UniRank's modules as a rival: what is missing is said, and a checkout takes part in a run."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from benchmarks.rivals.unirank_hemix import FILE, their_module
from benchmarks.train_speed import Setup, make
from hemix.errors import EnvironmentProblem


def test_a_folder_without_its_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"There is no .*HeMix\.py"):
        their_module(tmp_path)


def test_a_package_that_it_lacks_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).parent.mkdir()
    (tmp_path / FILE).write_text("import a_package_that_is_not_here\n")
    with pytest.raises(EnvironmentProblem, match="a_package_that_is_not_here"):
        their_module(tmp_path)


def test_a_checkout_has_as_many_weights_and_learns_from_the_same_rows() -> None:
    checkout = os.environ.get("UNIRANK", "")
    if not checkout:
        pytest.skip("UNIRANK names no checkout of Songcheng-Ren/UniRank")
    setup = Setup(
        recipe="unirank_like", history=30, rows=8, unirank=checkout,
        overrides={"model.token_width": "16"},
    )  # fmt: skip
    (theirs, batches), (ours, same) = make("unirank", setup), make("ours", setup)
    assert theirs.ranker.parameter_counts() == ours.ranker.parameter_counts()
    assert torch.equal(batches[0].ids["user"], same[0].ids["user"])
    losses = [theirs.take(batches[0], step, 1.0).item() for step in range(1, 6)]
    assert losses[-1] < losses[0]
