"""Narrow tables and rows of zeros: smaller files, the same scores of what was written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.measuring.memory import peak_mb, resident_mb
from benchmarks.static import saved
from hemix.models.versions.version import load


@pytest.mark.parametrize("recipe", ["gcn", "fm"])
def test_every_kind_of_table_is_loaded_and_scores(recipe: str, tmp_path: Path) -> None:
    spec, figures = saved.spec_of(3000), {}
    kinds = {"whole": ({}, 0.0), "narrow": ({"v0": 6}, 0.0), "zeros": ({}, 0.65)}
    for name, (widths, share) in kinds.items():
        folder = saved.written(tmp_path / name, recipe, spec, widths=widths, zeros=share)
        figures[name] = saved.measured(folder, candidates=5, rounds=1)
        table = load(folder).ranker.embedding.tables["v0"].get_parameter("weight")
        assert table.shape == (3000, widths.get("v0", 16))
        assert float((~table.any(1)).float().mean()) == pytest.approx(share, abs=0.05)
    whole, narrow, zeros = figures["whole"], figures["narrow"], figures["zeros"]
    assert narrow["table_parameters"] == whole["table_parameters"] - 3000 * 10
    assert narrow["file_mb"] < whole["file_mb"]
    assert zeros["file_mb"] < whole["file_mb"]
    # What reads vectors side by side shrinks with them, what needs one width gets a map.
    smaller = narrow["dense_parameters"] < whole["dense_parameters"]
    assert smaller == (recipe == "gcn")


def test_memory_that_is_held_counts() -> None:
    before = resident_mb()
    held = torch.ones(16 * 2**20)
    assert resident_mb() >= before + 60
    assert peak_mb() >= resident_mb() - 1
    assert len(held)
