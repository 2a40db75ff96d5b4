"""The rule beside every model: its rates and its choice against a slow reading, and its gate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.components.evaluate.popularity import SMOOTHING
from hemix.components.evaluate.results import RULE, Bootstrap, Interval, Results, TaskResult
from hemix.components.evaluate.rule import choose, rate_odds, rule_fields, rule_scores
from hemix.components.validate_model.checks import rule_checks
from hemix.components.validate_model.policy import Policy
from hemix.models.metrics import pointwise as metrics
from hemix.spec import CategoricalFeature, FeatureSpec, Side, TaskSpec, Vocabulary


def spec_of(**sides: Side) -> FeatureSpec:
    return FeatureSpec(
        tasks=(TaskSpec(name="click", column="label_click"),),
        vocabularies=tuple(Vocabulary(name=name, size=6) for name in sides),
        categorical=tuple(
            CategoricalFeature(name=f"{name}_index", side=side, vocabulary=name)
            for name, side in sides.items()
        ),
        numeric=(),
        sequences=(),
    )


SPEC = spec_of(user_id="user", tab="context", item_id="item", slot="item")


def write(folder: Path, *, seed: int, rows: int, informative: bool = True) -> pa.Table:
    """A split whose labels follow the item and the tab, and the user most of all."""
    random = np.random.default_rng(seed)
    ids = {
        name: random.integers(1, 6, rows).astype(np.int32) for name in ("tab", "item_id", "slot")
    }
    users = random.integers(0, 150, rows)
    signal = (ids["item_id"] - 3) * 0.8 + (ids["tab"] - 3) * 0.6 if informative else 0.0
    odds = signal + np.where(users % 2, 1.5, -1.5)
    labels = (random.random(rows) < 1 / (1 + np.exp(-odds))).astype(np.int8)
    table = pa.table(
        {
            "user_id": users,
            "user_id_index": (users % 6).astype(np.int32),
            **{f"{name}_index": values for name, values in ids.items()},
            "label_click": labels,
        }
    )
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "part-0.parquet")
    return table


def test_rates_are_smoothed_log_odds_over_the_overall_rate() -> None:
    ids, labels = np.array([1, 1, 2], np.int32), np.array([1, 0, 1], np.int8)
    found = rate_odds(ids, labels, np.array([1, 2, 3], np.int32), 4)
    overall = 2 / 3
    for at, (positives, rows) in enumerate([(1, 2), (1, 1), (0, 0)]):
        rate = (positives + SMOOTHING * overall) / (rows + SMOOTHING)
        expected = np.log(rate / (1 - rate)) - np.log(overall / (1 - overall))
        assert found[at] == pytest.approx(expected)


def test_fields_of_the_user_and_those_served_at_one_value_stay_out() -> None:
    assert rule_fields(SPEC, {}) == ("item_id_index", "slot_index", "tab_index")
    assert rule_fields(SPEC, {"slot": 1}) == ("item_id_index", "tab_index")


def test_the_best_fields_are_added_while_they_help() -> None:
    random = np.random.default_rng(1)
    users = random.integers(0, 60, 800)
    good, fair, noise = random.normal(0, 1, (3, 800))
    labels = (random.random(800) < 1 / (1 + np.exp(-2 * good - fair))).astype(np.int8)
    assert choose({"noise": noise * 9, "fair": fair, "good": 2 * good}, labels, users) == (
        "good",
        "fair",
    )
    assert choose({"constant": np.zeros(800)}, labels, users) == ()
    assert choose({}, labels, users) == ()
    alone = np.arange(800)  # no user has both labels: AUC decides
    assert choose({"good": good, "fair": fair}, labels, alone)[0] == "good"


def test_the_rule_is_fitted_on_training_and_chosen_on_validation_alone(tmp_path: Path) -> None:
    splits = {
        split: write(tmp_path / split, seed=seed, rows=4000)
        for seed, split in enumerate(("train", "validation", "test"))
    }
    rule = rule_scores(transformed=tmp_path, spec=SPEC, served_as={})["click"]
    assert set(rule.fields[:2]) == {"item_id_index", "tab_index"}
    both = pa.concat_tables([splits["train"], splits["validation"]])
    labels = both["label_click"].to_numpy()
    odds = np.full(4000, np.log(labels.mean() / (1 - labels.mean())))
    for name in rule.fields:
        odds += rate_odds(
            both[name].to_numpy(),
            labels,
            splits["test"][name].to_numpy(),
            SPEC.vocabulary("tab").size,
        )
    np.testing.assert_allclose(rule.scores, 1 / (1 + np.exp(-odds)), rtol=1e-5)
    truth, users = splits["test"]["label_click"].to_numpy(), splits["test"]["user_id"].to_numpy()
    assert metrics.gauc(truth, rule.scores, users) > 0.75
    relabelled = splits["test"].set_column(5, "label_click", pa.array(1 - truth, pa.int8()))
    pq.write_table(relabelled, tmp_path / "test" / "part-0.parquet")
    again = rule_scores(transformed=tmp_path, spec=SPEC, served_as={})["click"]
    np.testing.assert_array_equal(again.scores, rule.scores)


def test_labels_of_one_class_and_fields_that_say_nothing(tmp_path: Path) -> None:
    for split in ("train", "validation", "test"):
        table = write(tmp_path / split, seed=3, rows=50, informative=False)
        zeros = pa.array(np.zeros(50, np.int8))
        pq.write_table(
            table.set_column(5, "label_click", zeros), tmp_path / split / "part-0.parquet"
        )
    rule = rule_scores(transformed=tmp_path, spec=SPEC, served_as={})["click"]
    assert rule.fields == ()
    assert np.isfinite(rule.scores).all()
    assert rule.scores.max() < 1e-5


def results(**gap: float) -> Results:
    interval = Interval(**gap) if gap else Interval(value=None, note="3 users have both classes")
    task = TaskResult(
        positives=5,
        rate=0.5,
        metrics={},
        differences={RULE: {"user_gauc": interval}},
        calibration={},
    )
    moment = "2024-03-01T00:00:00Z"
    return Results.model_validate(
        {
            "dataset": "x", "window_start": moment, "window_end": moment, "rows": 9, "users": 3,
            "items": 3, "requests": 3, "models": (), "tasks": {"click": task}, "slices": (),
            "bootstrap": Bootstrap(replicates=3, seed=0, confidence=0.95),
        }
    )  # fmt: skip


def test_a_model_that_is_surely_worse_than_the_rule_is_refused() -> None:
    policy = Policy.load()
    assert policy.rule == {"user_gauc": 0.0}
    for low, high, passed in ((-0.03, -0.01, False), (-0.03, 0.01, True), (0.01, 0.03, True)):
        (check,) = rule_checks(policy, results(low=low, value=(low + high) / 2, high=high))
        assert check.check == "click user_gauc minus rule, upper end"
        assert (check.passed, check.value) == (passed, high)
    lenient = policy.model_copy(update={"rule": {"user_gauc": 0.02}})
    assert rule_checks(lenient, results(low=-0.03, value=-0.02, high=-0.01))[0].passed
    assert rule_checks(policy.model_copy(update={"rule": {}}), results()) == []


def test_a_log_without_an_order_inside_users_is_not_judged_and_says_so() -> None:
    (check,) = rule_checks(Policy.load(), results())
    assert check.passed
    assert check.value is None
    assert check.note == "not judged: 3 users have both classes"
    (check,) = rule_checks(Policy.load(), results(value=-0.2))
    assert check.passed
    assert check.note.startswith("not judged")
