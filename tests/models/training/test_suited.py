"""A recipe may leave its objective to the log: JRC by user where requests show one item each."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.errors import DataError
from hemix.models.data.toy import toy_spec
from hemix.models.training.recipes import RECIPES, recipe_of
from hemix.models.training.suited import as_written, in_lists, of_both_labels, suited

FLAG = "training.objective.jrc_without_lists"
SPEC = toy_spec()
REQUEST, USER = SPEC.keys[:2]
LABELS = [task.column for task in SPEC.tasks]


def rows(
    folder: Path,
    requests: list[str],
    *,
    users: int = 2,
    labels: dict[str, list[int]] | None = None,
    group: int = 4,
) -> Path:
    """Two files whose rows stand in ``requests``, of ``users`` users in turn with labels in turn."""
    folder.mkdir(parents=True)
    size = len(requests)
    turns = [number // users % 2 for number in range(size)]
    table = pa.table(
        {REQUEST: requests, USER: [f"u{number % users}" for number in range(size)]}
        | {label: (labels or {}).get(label, turns) for label in LABELS}
    )
    for number, part in enumerate((table.slice(0, size // 2), table.slice(size // 2))):
        pq.write_table(part, folder / f"part-{number}.parquet", row_group_size=group)
    return folder


def alone(count: int) -> list[str]:
    return [f"r{number}" for number in range(count)]


@pytest.fixture
def single(tmp_path: Path) -> Path:
    return rows(tmp_path / "single", alone(20))


@pytest.fixture
def lists(tmp_path: Path) -> Path:
    return rows(tmp_path / "lists", [f"r{number // 4}" for number in range(20)])


def test_the_default_recipe_compares_rows_of_a_user_where_there_are_no_lists(
    single: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    objective = suited(recipe_of("compact"), SPEC, single).training.objective
    assert {name: term.weight for name, term in objective.active().items()} == {"bce": 1, "jrc": 1}
    assert objective.jrc.by == "user"
    assert not objective.jrc_without_lists  # what a version's recipe says is what was trained
    assert f"JRC by user: few requests show lists ({FLAG}=false: not)" in capsys.readouterr().out


def test_it_compares_by_user_whatever_stands_at_a_weight_of_0(single: Path) -> None:
    recipe = recipe_of("compact", {"training.objective.jrc.by": "request"})
    assert suited(recipe, SPEC, single).training.objective.jrc.by == "user"


def test_lists_keep_log_loss_alone(lists: Path, capsys: pytest.CaptureFixture[str]) -> None:
    objective = suited(recipe_of("compact"), SPEC, lists).training.objective
    assert [*objective.active()] == ["bce"]
    assert not objective.jrc_without_lists
    assert "without JRC: requests show lists of items" in capsys.readouterr().out


def test_users_of_one_row_each_keep_log_loss_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = rows(tmp_path / "visitors", alone(20), users=20)
    assert [*suited(recipe_of("compact"), SPEC, folder).training.objective.active()] == ["bce"]
    assert "without JRC: few users have both labels" in capsys.readouterr().out


def test_one_task_that_is_rare_keeps_log_loss_alone(tmp_path: Path) -> None:
    rare = {LABELS[1]: [0] * 19 + [1]}
    ten = rows(tmp_path / "rare", alone(20), users=10, labels=rare)
    assert [*suited(recipe_of("compact"), SPEC, ten).training.objective.active()] == ["bce"]
    two = rows(tmp_path / "half", alone(20), users=2, labels=rare)  # a row in two has such a user
    assert "jrc" in suited(recipe_of("compact"), SPEC, two).training.objective.active()


@pytest.mark.parametrize(
    ("overrides", "why"),
    [
        ({"training.objective.ranknet.weight": "0.3"}, "no other comparing term"),
        ({"training.objective.jrc.weight": "0.3"}, "no other comparing term"),
        (
            {"training.objective.bce.weight": "0", "training.objective.cl4ctr.weight": "1"},
            "asks for log loss",
        ),
        ({"training.balance_lengths": "true"}, "training.balance_lengths does not go with"),
        ({"training.compile": "cuda_graphs"}, "training.compile=cuda_graphs does not go with"),
    ],
)
def test_what_is_set_stays(
    single: Path, overrides: dict[str, str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of("compact", overrides)
    found = suited(recipe, SPEC, single).training.objective
    assert found.active() == recipe.training.objective.active()
    assert not found.jrc_without_lists
    assert why in capsys.readouterr().out


def test_switched_off_it_looks_at_no_row_and_says_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_of("compact", {FLAG: "false"})
    assert suited(recipe, SPEC, tmp_path / "missing") is recipe
    assert capsys.readouterr().out == ""


def test_as_written_is_what_switched_off_is() -> None:
    assert as_written(recipe_of("compact")) == recipe_of("compact", {FLAG: "false"})


def test_of_the_shipped_recipes_only_the_default_asks_for_it() -> None:
    asks = [name for name in RECIPES if recipe_of(name).training.objective.jrc_without_lists]
    assert asks == ["compact"]


def test_shares_are_those_of_a_loop() -> None:
    requests, users = list("abcdeaffgh"), list("uuvvwwwxyu")
    labels = [0, 1, 0, 0, 1, 1, 0, 1, 0, 0]
    table = pa.table({"request": requests, "user": users, "label": labels})
    repeated = [r for r in requests if requests.count(r) > 1]
    assert in_lists(table, "request") == len(repeated) / 10 == 0.4
    seen = {u: {label for v, label in zip(users, labels, strict=True) if v == u} for u in users}
    assert of_both_labels(table, "user", "label") == sum(len(seen[u]) == 2 for u in users) / 10


def test_no_row_group_is_read_after_the_first_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = rows(tmp_path / "log", [*alone(4), *"eeeeee"], group=2)
    assert "jrc" not in suited(recipe_of("compact"), SPEC, folder).training.objective.active()
    monkeypatch.setattr("hemix.models.training.suited.LOOKED_AT", 4)
    assert "jrc" in suited(recipe_of("compact"), SPEC, folder).training.objective.active()


def test_no_rows_and_no_such_column_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="there are no rows to read"):
        suited(recipe_of("compact"), SPEC, tmp_path / "empty")
    (tmp_path / "other").mkdir()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other" / "part-0.parquet")
    with pytest.raises(DataError, match="there is no column 'label_click'"):
        suited(recipe_of("compact"), SPEC, tmp_path / "other")
