"""The accuracy benchmark: what it reads, tries, keeps and sums up."""

from __future__ import annotations

import argparse
import doctest
import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import scaling
from benchmarks.ablation import VARIANTS
from benchmarks.accuracy import picture, search, table, within_user
from benchmarks.accuracy.__main__ import compare
from benchmarks.accuracy.data import HeldOut, RunData, one_state_of
from benchmarks.accuracy.repeated import published
from benchmarks.accuracy.shapes import COMPARED, SHAPES, shape_of
from benchmarks.accuracy.training import measure, train
from benchmarks.interest import SWITCH
from benchmarks.measuring import results
from benchmarks.scaling import shapes
from hemix.errors import DataError
from hemix.files import read_json
from hemix.models.data.toy import toy_spec
from hemix.models.rankers.registry import build
from hemix.models.training.recipes import recipe_of
from hemix.pipelines.local.record import RunRecord, StepRecord
from tests.benchmarks.test_shapes import dense
from tests.small import SmallRun


def log(rows: int = 400) -> HeldOut:
    random = np.random.default_rng(0)
    return HeldOut(
        users=random.integers(0, 60, rows),
        requests=np.arange(rows),
        labels={"click": random.integers(0, 2, rows).astype(float)},
    )


def test_a_users_state_of_the_moment_is_what_gauc_is_of() -> None:
    test = log()
    scores = scores_of(test, 2.0, 0)
    assert "user_gauc" not in measure(test, scores)["click"], "as logged it is not measured"
    perfect = {one_state_of("click"): test.labels["click"].astype(np.float32)}
    found = measure(test, scores | perfect)["click"]
    assert found["user_gauc"] == 1.0
    assert found["auc"] == measure(test, scores)["click"]["auc"] < 1.0


def test_the_running_rate_and_labels_shuffled_inside_each_user() -> None:
    labels = np.array([1, 0, 1, 1, 0], np.int8)
    users, times = np.array([1, 0, 1, 1, 0]), np.array([5, 1, 7, 7, 2])
    found = within_user.running_rate(labels, users, times, 0.5)
    np.testing.assert_allclose(found, [0.5, 0.5, 1.5 / 2, 1.5 / 2, 0.5 / 2])
    many, owners = np.arange(300) % 2, np.arange(300) // 30
    shuffled = within_user.shuffled_inside(many.astype(np.int8), owners, 1)
    assert not np.array_equal(shuffled, many)
    assert (np.bincount(owners, weights=shuffled) == np.bincount(owners, weights=many)).all()


def scores_of(test: HeldOut, noise: float, seed: int) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    p = test.labels["click"] + noise * random.standard_normal(len(test.requests))
    return {"click": (1 / (1 + np.exp(-p))).astype(np.float32)}


RECORD = {
    "validation": {"click": 0.7},
    "parameters": {"dense": 3, "embedding": 4},
    "flops_per_sample": 10,
    "seconds": 2.0,
}


def test_mean_and_deviation_over_seeds() -> None:
    test = log()
    scores = [scores_of(test, 2.0, seed) for seed in range(3)]
    row = table.summary([RECORD] * 3, scores, test)
    from sklearn.metrics import roc_auc_score

    aucs = [roc_auc_score(test.labels["click"], p["click"]) for p in scores]
    assert row["seeds"] == 3
    assert row["test"]["click"]["auc"]["mean"] == pytest.approx(np.mean(aucs), abs=1e-5)
    assert row["test"]["click"]["auc"]["deviation"] == pytest.approx(np.std(aucs, ddof=1), abs=1e-5)
    assert row["validation"]["click"] == {"mean": 0.7, "deviation": 0.0}
    assert "impression_auc" not in row["test"]["click"]


def test_a_difference_is_paired_and_its_interval_holds_it() -> None:
    test = log()
    models = {
        "compact": [scores_of(test, 4.0, seed) for seed in range(2)],
        "better": [scores_of(test, 0.5, seed) for seed in range(2)],
        "same": [scores_of(test, 4.0, seed) for seed in range(2)],
    }
    found = table.differences(models, "compact", test)
    assert "compact" not in found
    better = found["better"]["click"]
    assert 0 < better["low"] < better["auc"] < better["high"]
    assert found["same"]["click"] == {"auc": 0.0, "low": 0.0, "high": 0.0}


def data_of(test: HeldOut) -> RunData:
    data = RunData(Path("/none"), Path("/none"))
    data.__dict__["test"] = test
    data.__dict__["spec"] = type("Spec", (), {"tasks": [type("Task", (), {"name": "click"})]})
    return data


def test_every_model_tries_the_same_settings_and_keeps_its_best() -> None:
    test = log()
    seen: dict[str, list[dict[str, str]]] = {"a": [], "b": []}

    def trainer(name: str):  # type: ignore[no-untyped-def]
        def run(seed: int, setting: dict[str, str]):  # type: ignore[no-untyped-def]
            seen[name].append(setting)
            auc = 0.8 if setting == search.settings(3)[2] else 0.7
            return {**RECORD, "validation": {"click": auc}}, scores_of(test, 1.0, seed)

        return run

    models = {"a": trainer("a"), "b": trainer("b")}
    rows, _ = compare(models, data_of(test), trials=3, seeds=2)
    assert seen["a"] == seen["b"] == [*search.settings(3), *[search.settings(3)[2]] * 2]
    assert rows["a"]["setting"] == search.settings(3)[2]
    assert rows["a"]["trials"] == [0.7, 0.7, 0.8]


def test_the_best_on_validation_and_hemix_get_more_seeds() -> None:
    test = log()

    def trainer(auc: float):  # type: ignore[no-untyped-def]
        def run(seed: int, setting: dict[str, str]):  # type: ignore[no-untyped-def]
            return {**RECORD, "validation": {"click": auc}}, scores_of(test, 1.0, seed)

        return run

    models = {"low": trainer(0.5), "high": trainer(0.8), "compact": trainer(0.6)}
    rows, scores = compare(models, data_of(test), trials=1, seeds=2, best=1, best_seeds=4)
    seeds = {model: row["seeds"] for model, row in rows.items()}
    assert seeds == {"low": 2, "high": 4, "compact": 4}
    assert {model: len(runs) for model, runs in scores.items()} == seeds
    assert rows["high"]["trials"] == [0.8]
    assert "difference" in rows["low"]


def test_settings_start_with_the_recipe_and_only_grow() -> None:
    assert search.settings(5)[:3] == search.settings(3)
    assert doctest.testmod(search).failed == 0
    assert doctest.testmod(results).failed == 0


def record_of(**artifacts: str) -> RunRecord:
    steps = [StepRecord(name="ingest"), StepRecord(name="transform", artifacts=artifacts)]
    return RunRecord(version="v1", status="succeeded", started="", parameters={}, steps=steps)


def test_artifacts_come_from_the_record(tmp_path: Path) -> None:
    record_of(transformed="/a", transform_graph="/b").write(tmp_path / "run.json")
    assert RunData.of(tmp_path) == RunData(Path("/a"), Path("/b"))


def test_a_run_that_ended_early_is_named() -> None:
    with pytest.raises(DataError, match="v1: the run has no finished transform step"):
        RunData.recorded(record_of())


def test_every_variant_is_a_shape_that_can_be_built() -> None:
    for overrides in [*VARIANTS.values(), *shapes().values()]:
        recipe = recipe_of("compact", overrides)
        build(recipe.ranker, toy_spec(), recipe.model)


def test_a_comparison_ends_with_its_file_and_its_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    figures, beside = {"dataset": "toy", "auc": 0.7}, []
    quiet = argparse.Namespace(no_write=True)
    assert published("interest", figures, quiet, then=beside.append) == 0
    assert not beside
    assert not list(tmp_path.iterdir())
    assert (
        published("interest", figures, argparse.Namespace(no_write=False), then=beside.append) == 0
    )
    (path,) = beside
    assert path.name.startswith("interest-toy-")
    assert read_json(path)["figures"] == figures
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("{")]
    assert [json.loads(line) for line in lines] == [figures] * 2


@pytest.mark.parametrize("recipe", SWITCH)
def test_the_interest_is_what_is_switched(recipe: str) -> None:
    without, with_it = (
        build(chosen.ranker, toy_spec(), chosen.model).flops_per_sample()["request"]
        for chosen in (recipe_of(recipe, part) for part in SWITCH[recipe])
    )
    assert without < with_it


@pytest.mark.slow
def test_the_pictures_name_every_model(tmp_path: Path) -> None:
    test = log()
    models = {
        name: [scores_of(test, 2.0, seed) for seed in range(2)] for name in ("compact", "din")
    }
    picture.draw(models, "compact", test, "toy", tmp_path / "a.svg")
    text = (tmp_path / "a.svg").read_text()
    assert "compact" in text
    assert "din" in text


def test_the_lines_of_the_scaling_picture_hold_every_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {name for names in scaling.lines().values() for name in names} == set(shapes())
    auc = {"mean": 0.7, "deviation": 0.01}
    row = {"test": {"click": {"auc": auc}}, "parameters": {"dense": 10}, "flops_per_sample": 20}
    monkeypatch.setattr(scaling, "RESULTS", tmp_path)
    scaling.draw({"dataset": "toy", "tasks": ["click"], "models": dict.fromkeys(shapes(), row)})
    text = (tmp_path / "scaling-toy.svg").read_text()
    assert all(f">{word}<" in text for word in (*scaling.MIXERS, "width", "depth", "rank"))


@pytest.mark.slow
def test_a_finished_training_is_not_done_again(small_run: SmallRun, tmp_path: Path) -> None:
    data = RunData(small_run.transformed, small_run.transform)
    record, scores = train(recipe="dcnv2", seed=1, overrides={}, data=data, folder=tmp_path)
    row = table.summary([record], [scores], data.test)
    assert 0.5 < row["test"]["click"]["auc"]["mean"] < 1
    assert record["parameters"]["dense"] > 0
    (kept,) = tmp_path.glob("dcnv2-1-*.json")
    before = kept.stat().st_mtime_ns
    again, same = train(recipe="dcnv2", seed=1, overrides={}, data=data, folder=tmp_path)
    assert again == record
    assert all(np.array_equal(same[task], scores[task]) for task in scores)
    assert kept.stat().st_mtime_ns == before


@pytest.mark.parametrize("dataset", SHAPES)
def test_shapes_are_of_rankers_that_there_are(dataset: str) -> None:
    for recipe, fields in SHAPES[dataset].items():
        chosen = recipe_of(recipe, fields)
        assert chosen.ranker == recipe
        assert chosen.model != recipe_of(recipe).model


@pytest.mark.parametrize("recipe", COMPARED)
@pytest.mark.parametrize("dataset", SHAPES)
def test_every_rival_has_the_size_of_hemix_within_a_tenth(dataset: str, recipe: str) -> None:
    size = dense(dataset, recipe, shape_of(dataset, recipe))
    assert abs(size / dense(dataset, "compact") - 1) < 0.1
