"""Evaluate on the small run: documents, rivals, slices, and numbers that a loop confirms."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.components.evaluate import popularity, slices, tables
from hemix.components.evaluate.feature_facts import Features
from hemix.components.evaluate.features import groups_of
from hemix.components.evaluate.measure import Sample, measure_slices, measure_task, measure_within
from hemix.components.evaluate.results import (
    CANDIDATE,
    Results,
    prediction_column,
    shared_column,
)
from hemix.components.evaluate.scoring import OWN, champion_scores
from hemix.components.report.features import bars
from hemix.errors import DataError, StorageError
from hemix.features.definition import DatasetDefinition
from hemix.features.transform.statistics import Histogram
from hemix.models.metrics import pointwise as metrics
from hemix.models.metrics.bootstrap import UserBootstrap
from hemix.models.metrics.within_user import PER_USER, within_user
from hemix.models.versions.inference import Scorer, predict_table
from hemix.spec import FeatureSpec
from tests.small import SmallRun


def test_metrics_are_those_of_the_stored_predictions(small_evaluation: Path) -> None:
    results = Results.read(small_evaluation)
    stored = pq.read_table(small_evaluation / "predictions.parquet")
    assert stored.num_rows == results.rows
    rivals = {"boosting", "rule", "popularity"}
    assert {model.name for model in results.models} == {"candidate", *rivals}
    for task, result in results.tasks.items():
        labels = stored[f"label_{task}"].to_numpy()
        assert result.positives == labels.sum()
        for model, found in result.metrics.items():
            scores = stored[prediction_column(model, task)].to_numpy().astype(np.float64)
            assert ((scores > 0) & (scores < 1)).all()
            auc = found["auc"]
            assert auc.value == pytest.approx(metrics.auc(labels, scores))
            assert auc.low is not None
            assert auc.high is not None
            assert auc.low < auc.value < auc.high
            assert found["logloss"].value == pytest.approx(metrics.logloss(labels, scores))
            assert found["pcoc"].value == pytest.approx(scores.sum() / labels.sum())
            assert sum(result.calibration[model].rows) == stored.num_rows
        gap = result.differences["boosting"]["auc"].value
        ours, theirs = (result.metrics[m]["auc"].value for m in (CANDIDATE, "boosting"))
        assert ours is not None
        assert theirs is not None
        assert gap == pytest.approx(ours - theirs)


def test_metrics_within_a_user_are_of_the_state_of_his_first_row(
    small_run: SmallRun, small_evaluation: Path
) -> None:
    """Each user's rows scored again, one user at a time, with the columns of the first of them."""
    results = Results.read(small_evaluation)
    stored = pq.read_table(small_evaluation / "predictions.parquet")
    rows = tables.read_split(small_run.transformed, "test", None)
    scorer = Scorer.load(small_run.model)
    spec = scorer.spec
    names = [f.name for f in spec.categorical if f.side == "user"]
    names += [name for n in spec.numeric if n.side == "user" for name in (n.name, n.bucket)]
    names += [c.column for s in spec.sequences for c in s.columns]
    users, times = stored["user_id"].to_numpy(), stored["event_time"].cast("int64").to_numpy()
    moved = 0
    for user in np.unique(users)[:12]:
        own = np.flatnonzero(users == user)
        first = own[np.argmin(times[own])]
        table = rows.take(pa.array(own))
        for name in names:
            same = rows[name].take(pa.array(np.full(len(own), first)))
            table = table.set_column(table.column_names.index(name), name, same)
        for task, p in predict_table(scorer, table).items():
            shared = stored[shared_column("user", CANDIDATE, task)].to_numpy()[own]
            np.testing.assert_allclose(shared, p, atol=1e-6)
            moved += not np.allclose(
                shared, stored[prediction_column(CANDIDATE, task)].to_numpy()[own]
            )
    assert moved, "the state of later rows is another"
    codes = np.unique(users, return_inverse=True)[1]
    for task, result in results.tasks.items():
        labels = stored[f"label_{task}"].to_numpy()
        assert 0 < result.ordered_users < results.users
        for model, found in result.metrics.items():
            assert "gauc" not in found
            shared = stored[shared_column("user", model, task)].to_numpy()
            for name in PER_USER:
                expected = within_user(name, labels, shared, codes)
                assert found[name].value == pytest.approx(expected)
        rule = stored[prediction_column("rule", task)]
        assert rule.equals(stored[shared_column("user", "rule", task)])


def test_slices_cover_every_row_once(small_evaluation: Path) -> None:
    results = Results.read(small_evaluation)
    stored = pq.read_table(small_evaluation / "predictions.parquet")
    dimensions = {found.dimension for found in results.slices}
    assert dimensions == {"user_activity", "item_age", "tab"}
    for found in results.slices:
        rows = np.array(stored[f"slice_{found.dimension}"].to_pylist()) == found.slice
        assert found.rows == rows.sum()
        labels = stored[f"label_{found.task}"].to_numpy()[rows]
        assert found.positives == labels.sum()


def test_a_mean_over_few_requests_is_left_out_and_says_why(small_evaluation: Path) -> None:
    """KuaiRand logs no requests: only rows of one user and instant share one."""
    result = Results.read(small_evaluation).tasks["click"]
    found = result.metrics[CANDIDATE]["impression_auc"]
    assert found.value is None
    assert "requests have both classes" in found.note
    assert result.differences["boosting"]["impression_auc"] == found


def test_the_champion_scores_through_its_own_transform(
    small_run: SmallRun, small_evaluation: Path
) -> None:
    """The whole step with a champion: ``tests/serving/ranking/test_own_values.py``."""
    stored = pq.read_table(small_evaluation / "predictions.parquet")
    window = small_run.definition.split.windows()["test"]
    tasks = ["click", "long_view"]
    found = champion_scores(small_run.model, small_run.examples, window, tasks)[OWN]
    assert list(found) == tasks
    for task, theirs in found.items():
        ours = stored[prediction_column(CANDIDATE, task)].to_numpy()
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_a_champion_of_other_tasks_is_refused(small_run: SmallRun) -> None:
    window = small_run.definition.split.windows()["test"]
    with pytest.raises(DataError, match="does not predict \\['buy'\\]"):
        champion_scores(small_run.model, small_run.examples, window, ["click", "buy"])


def test_one_class_is_undefined_and_says_why() -> None:
    users = np.arange(200) % 40
    scores = np.linspace(0.1, 0.9, 200, dtype=np.float32)
    sample = Sample(
        draws=UserBootstrap.draw(users, replicates=20),
        requests=np.arange(200),
        labels={"click": np.zeros(200, dtype=np.int8)},
        scores={"candidate": {"click": scores}, "boosting": {"click": scores}},
    )
    result = measure_task(sample, "click")
    auc = result.metrics["candidate"]["auc"]
    assert (auc.value, auc.low, auc.note) == (None, None, "one class: every label is 0")
    assert result.differences["boosting"]["auc"].value is None
    assert result.metrics["candidate"]["logloss"].value is not None
    (found,) = measure_slices(sample, {"all": np.full(200, "x", dtype=object)})
    assert found.auc["candidate"].note == "one class: every label is 0"


def test_a_task_within_another_is_measured_where_that_one_happened() -> None:
    random = np.random.default_rng(0)
    clicks = (random.random(400) < 0.5).astype(np.int8)
    buys = clicks * (random.random(400) < 0.3).astype(np.int8)
    p_click, p_own = random.uniform(0.2, 0.9, 400), random.uniform(0.1, 0.9, 400)
    scores = {"click": p_click.astype(np.float32), "buy": (p_click * p_own).astype(np.float32)}
    sample = Sample(
        draws=UserBootstrap.draw(np.arange(400) % 50, replicates=20),
        requests=np.arange(400) // 8,
        labels={"click": clicks, "buy": buys},
        scores={"candidate": scores, "boosting": scores},
    )
    found = measure_within(sample, {"buy": "click"})["buy"]
    rows = clicks == 1
    assert (found.given, found.rows) == ("click", rows.sum())
    assert found.result.positives == buys.sum()
    measured = found.result.metrics["candidate"]
    assert measured["auc"].value == pytest.approx(metrics.auc(buys[rows], p_own[rows]), abs=1e-6)
    assert measured["pcoc"].value == pytest.approx(p_own[rows].sum() / buys.sum(), rel=1e-5)
    assert measured["auc"].low is not None
    assert found.result.differences["boosting"]["auc"].value == 0
    sure = np.array([0.7], dtype=np.float32)
    assert metrics.conditional({"buy": sure, "click": sure / 2}, "buy", "click").tolist() == [1.0]


def test_rows_that_differ_are_refused() -> None:
    keys = {"request_id": ["a", "b"], "user_id": [1, 2], "item_id": [3, 4]}
    times = pa.array([5, 6], pa.timestamp("ms", tz="UTC"))
    left = pa.table({**keys, "event_time": times})
    tables.require_same_rows(left, left, "test")
    with pytest.raises(DataError, match="test: item_id"):
        tables.require_same_rows(left, left.set_column(2, "item_id", [[4, 3]]), "test")
    with pytest.raises(DataError, match="2 examples but 1"):
        tables.require_same_rows(left, left.slice(0, 1), "test")


def test_an_empty_split_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the test split holds no row"):
        tables.read_split(tmp_path, "test", ["user_id"])


def test_popularity_is_the_smoothed_rate() -> None:
    items = pa.chunked_array([[7, 7, 9], [9, 7]])
    labels = np.array([1, 0, 1, 1, 1], dtype=np.int8)
    scores = popularity.item_rates(items, labels, pa.chunked_array([[9, 1, 7]]))
    prior, weight = 4 / 5, popularity.SMOOTHING
    expected = [(2 + weight * prior) / (2 + weight), prior, (2 + weight * prior) / (3 + weight)]
    np.testing.assert_allclose(scores, expected, rtol=1e-6)


def test_slice_names(small_definition: DatasetDefinition) -> None:
    table = pa.table(
        {
            "global_item_id": [[], [1], [1] * 9, [1] * 49, [1] * 50],
            "realtime_item_id": [[], [], [1], [], [2]],
            "item_age_days": [0.5, 1.0, 29.9, float("nan"), 30.0],
            "tab": pa.array([1, 1, 2, slices.MISSING_INT, 1], pa.int64()),
        }
    )
    found = slices.slices_of(small_definition, table)
    none, few, some, many = slices.ACTIVITY_NAMES
    assert found["user_activity"].tolist() == [none, few, some, some, many]
    day, week, month, old = slices.AGE_NAMES
    assert found["item_age"].tolist() == [day, week, month, "unknown", old]
    assert found["tab"].tolist() == ["1", "1", "2", "unknown", "1"]


def test_values_called_like_the_rest_stay_apart() -> None:
    values = ["other"] * 3 + ["unknown"] * 3 + [""] * 3 + [f"v{i}" for i in range(9)]
    named = slices._values(pa.chunked_array([pa.array(values)])).tolist()
    assert named[0] == "'other'"
    assert named[3] == "'unknown'"
    assert named[6] == slices.UNKNOWN
    assert named.count(slices.OTHER) == 12 - slices.MOST_VALUES


def test_a_damaged_document_is_named(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text("{}")
    with pytest.raises(StorageError, match=r"metrics\.json: not an evaluation"):
        Results.read(tmp_path)


def test_every_feature_is_looked_at_on_its_own(small_run: SmallRun, small_evaluation: Path) -> None:
    found = Features.read(small_evaluation)
    assert found is not None
    spec = FeatureSpec.read(small_run.transform / "spec.json")
    groups = groups_of(small_run.definition, spec)
    columns = [name for made in groups.values() for name in made]
    numbers = [name for n in spec.numeric for name in (n.name, n.bucket)]
    lists = [c.column for s in spec.sequences for c in s.columns]
    assert sorted(columns) == sorted([*(c.name for c in spec.categorical), *numbers, *lists])
    assert "author_click_rate_1d_scaled" in groups["counters of author"]
    assert {i.group: i.features for i in found.importances} == groups
    losses = [i.loss.value for i in found.importances]
    assert losses == sorted(losses, reverse=True)  # type: ignore[type-var]
    assert losses[0] is not None
    assert losses[0] > 0
    assert found.rows == 2_000
    facts = {one.name: one for one in found.features}
    assert facts.keys() >= {"tab_index", "video_duration_scaled", "global_length"}
    table = pq.read_table(small_run.transformed / "test", columns=["tab_index"])
    tab = facts["tab_index"].histograms["test"]
    assert tab.total == table.num_rows
    assert tab.missing == (table["tab_index"].to_numpy() == 0).mean()
    assert facts["tab_index"].drift.keys() == {"validation", "test"}


def test_bars_are_shares_of_the_same_bins() -> None:
    def ids(*counts: int) -> Histogram:
        return Histogram(kind="ids", bins=("3", "7", "rest"), counts=counts, missing=0.0)

    drawn = bars({"train": ids(50, 50, 0), "test": ids(0, 25, 75)})
    heights = [float(text) for text in re.findall(r' height="([\d.]+)" fill', drawn)]
    assert heights == [24.0, 24.0, 12.0, 36.0]
    assert drawn.count("var(--test)") == 2
