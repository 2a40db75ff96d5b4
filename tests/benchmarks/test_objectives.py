"""benchmarks.objectives: what it tries, how it splits, judges and compares."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks.accuracy.data import RunData
from benchmarks.objectives.__main__ import RULE, compare
from benchmarks.objectives.candidates import OBJECTIVES, settings
from benchmarks.objectives.held_out import Judged, Splits
from benchmarks.objectives.measures import measure
from benchmarks.objectives.random_split import PARTS, parts_of, random_split
from benchmarks.objectives.rules import SMOOTHING, log_odds
from hemix.models.data.toy import toy_spec
from hemix.models.training.recipes import recipe_of
from tests.models.files import write_split

TOY = {
    "model.token_width": "8",
    "model.tower": "[8]",
    "model.embedding.large": "10",
    "training.batch_size": "32",
    "training.evaluations": "1",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> RunData:
    folder = tmp_path_factory.mktemp("objectives")
    for number, (split, rows) in enumerate({"train": 96, "validation": 60, "test": 90}.items()):
        write_split(folder / split, rows=rows, seed=number)
    toy_spec().write(folder / "spec.json")
    return RunData(folder, folder)


def test_every_try_is_a_recipe() -> None:
    for by in ("user", "request"):
        for objective in OBJECTIVES:
            for one in settings(objective, by=by, levels=(0, 2), codes=(8, 128)):
                active = recipe_of("compact", one).training.objective.active()
                assert [*active] == ["bce", *([objective] if objective != "bce" else [])]
    found = settings("group_ce", by="user", levels=(0, 2), codes=(8, 128))
    assert len(found) == 3 * 3
    listed = recipe_of("compact", settings("rcr", by="request")[0]).training.objective
    assert listed.rcr.by == "request"


def test_the_random_split_gives_every_user_positives_in_each_part() -> None:
    random = np.random.default_rng(0)
    users = random.integers(0, 40, 2000)
    labels = (random.random(2000) < 0.3).astype(float)
    labels[users == 3] = 0.0
    labels[np.flatnonzero(users == 3)[:2]] = 1.0
    parts = parts_of(users, labels)
    assert (parts[users == 3] == -1).all()
    shares = np.bincount(parts[parts >= 0]) / (parts >= 0).sum()
    assert shares == pytest.approx([*PARTS.values()], abs=0.05)
    for user in set(users.tolist()) - {3}:
        held = parts[(users == user) & (labels == 1)]
        assert set(held.tolist()) == {0, 1, 2}
    assert (parts_of(users, labels) == parts).all()


def test_the_random_split_keeps_every_row_once(data: RunData, tmp_path: Path) -> None:
    split = random_split(data, tmp_path)
    tables = {part: pq.read_table(split.transformed / part) for part in PARTS}
    assert sum(table.num_rows for table in tables.values()) <= 246
    users = [set(table["user_id"].to_pylist()) for table in tables.values()]
    assert users[0] == users[1] == users[2]
    assert random_split(data, tmp_path).digest == split.digest


def test_a_value_has_the_log_odds_of_its_smoothed_rate() -> None:
    ids, labels = np.array([0, 0, 1, 1]), np.array([1.0, 1.0, 0.0, 1.0])
    found = log_odds(ids, labels, np.array([0, 7]))
    rate = (2 + SMOOTHING * 0.75) / (2 + SMOOTHING)
    assert found == pytest.approx([np.log(rate / (1 - rate)), np.log(3)])


def test_users_are_judged_on_the_state_of_their_first_row(data: RunData) -> None:
    test = Judged.of(data, "test")
    ages = test.shared.numbers["age"].numpy()
    for user in set(test.users.tolist()):
        rows = np.flatnonzero(test.users == user)  # files are in the order of time
        assert (ages[rows] == test.rows.numbers["age"].numpy()[rows[0]]).all()
    trained = pq.read_table(data.transformed / "train")["user_id"].to_pylist()
    asked = pq.read_table(data.transformed / "test")["user_id"].to_pylist()
    assert test.history.tolist() == [trained.count(user) for user in asked]
    # What differs between a user's rows alone can order them: a score of the state does not.
    scores = {n: 1 / (1 + np.exp(-ages)) for t in test.labels for n in (t, f"{t}/shared")}
    figures = measure(test, scores)["click"]
    assert figures["gauc"] == 0.5
    assert "gauc_cold_1_3" in figures


@pytest.mark.slow
def test_objectives_are_compared_and_kept(data: RunData, tmp_path: Path) -> None:
    def of() -> dict[str, Any]:
        return compare(
            Splits(data, tmp_path), rankers=["compact"], objectives=["bce", "rcr"], seeds=1,
            levels=[2], codes=[8], fixed=TOY, refit=True,
        )  # fmt: skip

    rows = of()
    refit = ["compact bce, refit", "compact rcr, refit"]
    assert [*rows] == [RULE, "boosting", "compact bce", refit[0], "compact rcr", refit[1]]
    for name in refit:
        again, chosen = rows[name], rows[name.removesuffix(", refit")]
        assert again["setting"] == chosen["setting"] | {"training.refit": "true"}
        assert again["test"]["click"]["auc"] != chosen["test"]["click"]["auc"]
    best = rows["compact rcr"]
    assert isinstance(best, dict)
    tried = {one["training.objective.rcr.weight"]: score for one, score in best["tried"]}
    assert tried[best["setting"]["training.objective.rcr.weight"]] == max(tried.values())
    assert {"bce", "rcr", "rows/user/click"} <= best["terms"].keys()
    assert (
        best["to_bce"]["click"].keys() == {"gauc", "low", "high"} == best["to_rule"]["click"].keys()
    )
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert len(kept) == 12
    before = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert json.dumps(of()) == json.dumps(rows)  # NaN where there are too few users
    assert {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
