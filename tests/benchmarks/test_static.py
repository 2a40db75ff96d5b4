"""The interaction line's benchmark: what it reads of Frappe's files, its rule, its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.static import frappe, rules, settings
from benchmarks.static.entries import entries
from hemix.errors import DataError
from hemix.models.training.recipes import recipe_of


def line(label: int, user: int, item: int) -> str:
    rest = [f"{start}:1" for start in frappe.STARTS[2:-1]]
    return " ".join([str(label), f"{user}:1", f"{957 + item}:1", *rest])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = {
        "train": [line(1, 0, 5), line(1, 1, 5), line(1, 1, 6), line(-1, 0, 6)],
        "validation": [line(1, 0, 5), line(-1, 0, 7)],
        "test": [line(1, 1, 6), line(-1, 0, 5), line(-1, 2, 5), line(-1, 0, 6), line(-1, 0, 7)],
    }
    for split, name in frappe.SPLITS.items():
        (tmp_path / name).write_text("\n".join(rows[split]) + "\n")
    return tmp_path


def test_ids_are_counted_from_each_fields_start(folder: Path) -> None:
    labels, ids = frappe.read(folder / frappe.SPLITS["train"])
    assert labels.tolist() == [1, 1, 1, 0]
    assert ids[:, :2].tolist() == [[0, 5], [1, 5], [1, 6], [0, 6]]
    assert not ids[:, 2:].any()


def test_a_line_of_other_fields_is_named(folder: Path) -> None:
    path = folder / frappe.SPLITS["test"]
    path.write_text(line(1, 0, 5) + "\n" + line(1, 957, 5) + "\n")
    with pytest.raises(DataError, match="line 2: 957 is no id of user"):
        frappe.read(path)
    with pytest.raises(DataError, match="There is no"):
        frappe.read(folder / "nothing.libfm")


def test_the_look_up_puts_a_seen_pair_first_then_popularity(folder: Path, tmp_path: Path) -> None:
    data = frappe.prepared(folder, tmp_path / "working")
    scores = rules.lookup(data, "test")
    # Seen pairs (popular item 5 above 6), then unseen ones by the items' positives: 5, 6, 7.
    assert np.argsort(-scores).tolist() == [1, 0, 2, 3, 4]
    assert scores[4] == 0
    assert ((scores >= 0) & (scores < 1)).all()
    assert data.test.labels[frappe.TASK].tolist() == [1, 0, 0, 0, 0]
    assert not data.test.lists


def test_every_row_is_a_recipe_that_can_be_built() -> None:
    asked = entries(("fm", "dcnv2"), ("senet",), separate=True, cl4ctr=True)
    assert list(asked) == [
        *("fm", "fm + senet", "fm + cl4ctr"),
        *("dcnv2", "dcnv2 + senet", "dcnv2 + 2 senet", "dcnv2 + cl4ctr"),
    ]
    for entry in asked.values():
        for setting in settings.tried(3):
            recipe_of(entry.recipe, {**settings.FIXED, **setting, **entry.overrides})
    assert settings.tried(4) == settings.tried(4)


def test_nothing_of_a_user_moves_in_a_static_log(folder: Path, tmp_path: Path) -> None:
    data = frappe.prepared(folder, tmp_path / "working")
    assert data.one_state is None
