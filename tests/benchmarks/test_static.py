"""The interaction line's benchmark: what it reads of Frappe's files, its rule, its rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.accuracy.training import train
from benchmarks.static import frappe, looks, rules, settings, trades
from benchmarks.static.comparing import Ours, compare
from benchmarks.static.entries import entries
from hemix.errors import DataError
from hemix.models.training.recipes import Recipe, recipe_of
from hemix.models.training.trainer import Trainer


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
    asked = entries(
        ("fm", "dcnv2"), ("senet",), separate=True, cl4ctr=True, widths=(8,), group_ftrl=(0.1, 1.0)
    )
    smaller = ("width 8", "group_ftrl 0.1", "group_ftrl 1")
    assert list(asked) == [
        *("fm", "fm + senet", "fm + cl4ctr", *(f"fm + {name}" for name in smaller)),
        *("dcnv2", "dcnv2 + senet", "dcnv2 + 2 senet", "dcnv2 + cl4ctr"),
        *(f"dcnv2 + {name}" for name in smaller),
    ]
    assert {e.like for e in asked.values()} == {
        *("fm", "fm + group_ftrl 0.1", "dcnv2", "dcnv2 + group_ftrl 0.1")
    }
    for entry in asked.values():
        for setting in settings.tried(3):
            recipe_of(entry.recipe, {**settings.fixed(entry.recipe), **setting, **entry.overrides})
    assert settings.tried(4) == settings.tried(4)


def test_nothing_of_a_user_moves_in_a_static_log(folder: Path, tmp_path: Path) -> None:
    data = frappe.prepared(folder, tmp_path / "working")
    assert data.one_state is None


@pytest.mark.slow
def test_narrow_tables_and_zero_rows_are_rows_beside_the_base(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(settings.FIXED, "model.embedding.width", "4")
    monkeypatch.setitem(settings.FIRST, "training.epochs", "1")
    monkeypatch.setitem(settings.FIRST, "model.embedding.std", "0.001")  # unseen rows stay near 0
    trained: list[Recipe] = []
    run = Trainer.run
    monkeypatch.setattr(Trainer, "run", lambda self: trained.append(self.recipe) or run(self))
    data = frappe.prepared(folder, tmp_path / "working")
    asked = entries(("fm",), fdo=(0.5,), group_ftrl=(1e-9, 1e3))
    ours = Ours(asked=asked, data=data, folder=tmp_path / "kept")
    found = compare(ours.rows(), data, trials=1, seeds=2)

    assert list(found) == list(asked)
    compare(ours.rows(), data, trials=1, seeds=2)
    assert len(trained) == 8  # what was tried is the first seed's, and nothing is trained twice
    narrow = [r.model.embedding.widths for r in trained if r.model.embedding.widths]
    assert len(narrow) == 2
    assert narrow[0] == narrow[1]  # of the base's first seed
    assert narrow[0]["weekday"] == 1  # all of its rows that were seen are one
    sizes = {name: row["parameters"]["embedding"] for name, row in found.items()}
    assert sizes["fm + fdo 0.5"] < sizes["fm"]
    assert found["fm"]["zero_rows"]["seen"]["mean"] == 0
    weak, strong = (found[f"fm + group_ftrl {name}"] for name in ("1e-09", "1000"))
    assert strong["zero_rows"]["all"] == strong["zero_rows"]["seen"] == {"mean": 1, "deviation": 0}
    assert weak["zero_rows"]["seen"]["mean"] < weak["zero_rows"]["all"]["mean"] < 1
    assert weak["setting"]["training.embedding_learning_rate"] == settings.GROUP_FTRL_RATES[0]
    assert all("paired" in row for name, row in found.items() if name != "fm")

    figures = {"tasks": [frappe.TASK], "models": found}
    for name, draw in (("fdo", trades.fdo), ("ftrl", trades.group_ftrl)):
        assert draw(figures, tmp_path / f"{name}.svg")
        assert "test AUC" in (tmp_path / f"{name}.svg").read_text()
    alone = {"tasks": [frappe.TASK], "models": {"fm": found["fm"]}}
    assert not trades.fdo(alone, tmp_path / "none.svg")
    assert not (tmp_path / "none.svg").exists()


@pytest.mark.slow
def test_a_kept_training_that_lacks_what_is_asked_for_is_done_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = frappe.prepared(folder, tmp_path / "working")
    asked = {**settings.FIXED, **settings.FIRST, "training.epochs": "1"}

    def once(**also: object) -> dict[str, object]:
        return train(
            recipe="fm", seed=0, overrides=asked, data=data, folder=tmp_path / "kept", also=also
        )[0]  # fmt: skip

    first = once()
    assert once() == first
    both = once(widths=looks.widths(data, 0.9))
    assert {k: v for k, v in both.items() if k not in ("widths", "seconds")} == {
        k: v for k, v in first.items() if k != "seconds"
    }
    assert set(once(again=lambda recipe, ranker: recipe.name)) == {*both, "again"}
