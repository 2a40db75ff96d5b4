"""A recipe may leave its objective to the log: JRC by user where requests show one item each."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.errors import DataError
from hemix.models.training.recipes import RECIPES, recipe_of
from hemix.models.training.suited import in_lists, suited
from tests.models import files

FLAG = "training.objective.jrc_without_lists"


def rows(folder: Path, requests: list[str | None], *, group: int = 4) -> Path:
    """Two files whose rows stand in ``requests``."""
    folder.mkdir(parents=True)
    for number, part in enumerate((requests[: len(requests) // 2], requests[len(requests) // 2 :])):
        table = pa.table({"request_id": pa.array(part, pa.string())})
        pq.write_table(table, folder / f"part-{number}.parquet", row_group_size=group)
    return folder


@pytest.fixture
def single(tmp_path: Path) -> Path:
    return rows(tmp_path / "single", [f"r{number}" for number in range(20)])


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    return rows(tmp_path / "lists", [f"r{number // 4}" for number in range(20)])


def test_the_default_recipe_compares_rows_of_a_user_where_there_are_no_lists(
    single: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objective = suited(recipe_of("compact"), single).training.objective
    assert {name: term.weight for name, term in objective.active().items()} == {"bce": 1, "jrc": 1}
    assert objective.jrc.by == "user"
    assert not objective.jrc_without_lists  # what a version's recipe says is what was trained
    assert (
        f"JRC by user: requests show one item each ({FLAG}=false: not)" in capsys.readouterr().out
    )


def test_lists_keep_log_loss_alone(lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objective = suited(recipe_of("compact"), lists).training.objective
    assert [*objective.active()] == ["bce"]
    assert not objective.jrc_without_lists
    assert "log loss alone" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("field", "value", "why"),
    [
        ("training.objective.ranknet.weight", "0.3", "another term compares rows"),
        ("training.objective.jrc.weight", "0.3", "another term compares rows"),
        ("training.balance_lengths", "true", "rows do not stand by user"),
        ("training.compile", "cuda_graphs", "rows do not stand by user"),
    ],
)
def test_what_is_set_stays(
    single: Path, field: str, value: str, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of("compact", {field: value})
    was = recipe.training.objective.active()
    assert suited(recipe, single).training.objective.active() == was
    assert why in capsys.readouterr().out


def test_switched_off_it_looks_at_no_row_and_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of("compact", {FLAG: "false"})
    assert suited(recipe, tmp_path / "missing") is recipe
    assert capsys.readouterr().out == ""


def test_of_the_shipped_recipes_only_the_default_asks_for_it() -> None:
    asks = [name for name in RECIPES if recipe_of(name).training.objective.jrc_without_lists]
    assert asks == ["compact"]


def test_the_share_in_lists_is_counted_over_files_and_row_groups(tmp_path: Path) -> None:
    requests: list[str | None] = ["a", "b", "c", "d", "e", "a", "f", "f", "g", "h"]
    folder = rows(tmp_path / "mixed", requests, group=2)
    assert in_lists(folder) == 0.4  # a and f, over two files


def test_no_row_group_is_read_after_the_first_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hemix.models.training.suited.LOOKED_AT", 4)
    folder = rows(tmp_path / "log", ["a", "b", "c", "d", *"eeeeee"], group=2)
    assert in_lists(folder) == 0  # five rows a file: the groups of a and b, c and d, then no more


def test_rows_without_an_id_are_no_list(tmp_path: Path) -> None:
    assert in_lists(rows(tmp_path / "none", [None] * 10)) == 0


def test_no_rows_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there are no rows to read"):
        suited(recipe_of("compact"), tmp_path / "empty")


def test_the_toy_log_of_the_tests_is_one_of_single_rows(tmp_path: Path) -> None:
    files.write_split(tmp_path / "train", rows=64)
    assert in_lists(tmp_path / "train") < 0.5
