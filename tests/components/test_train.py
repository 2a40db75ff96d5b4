"""The train step: a version folder and curves from transformed rows, or one clear error."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hemix.components.train.step import run
from hemix.errors import DataError, DefinitionError
from hemix.files import read_json
from hemix.models.data.toy import toy_spec
from hemix.models.versions.inference import Scorer, predict_table
from tests.models.files import write_split

OVERRIDES = {"training.batch_size": "32", "training.epochs": "2", "model.token_width": "8"}


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    write_split(tmp_path / "transformed" / "train", rows=200)
    write_split(tmp_path / "transformed" / "validation", rows=80, seed=5)
    toy_spec().write(tmp_path / "transform" / "spec.json")
    return tmp_path


def train(folder: Path, recipe: str = "compact", **overrides: str) -> None:
    run(
        transformed=folder / "transformed",
        transform=folder / "transform",
        recipe=recipe,
        overrides=OVERRIDES | {k.replace("__", "."): v for k, v in overrides.items()},
        version="v1",
        feature_service="ranker_v1",
        checkpoints=folder / "checkpoints",
        out_model=folder / "model",
        out_curves=folder / "curves",
    )


def test_writes_a_version_that_scores_and_its_curves(inputs: Path) -> None:
    train(inputs)
    scorer = Scorer.load(inputs / "model")
    assert scorer.version is not None
    manifest = scorer.version.manifest
    assert (manifest.version, manifest.feature_service) == ("v1", "ranker_v1")
    assert manifest.training_window == {
        "start": "1970-01-01T00:00:00.000+00:00",
        "end": "1970-01-01T00:03:19.000+00:00",
    }
    table = pq.read_table(inputs / "transformed" / "validation")
    scores = predict_table(scorer, table)
    assert set(scores) == {"click", "long_view"}
    assert scores["click"].shape == (80,)
    curves = read_json(inputs / "curves" / "curves.json")
    assert curves["best"]["auc"]["click"] == manifest.metrics["validation_click_auc"]
    assert [point["epoch"] for point in curves["validation"]] == [0.5, 1.0, 1.5, 2.0]
    assert 0 < curves["reader_wait"] < 1
    assert all(0 <= point["reader_wait"] <= 1 for point in curves["training"])
    assert curves["training"][-1]["step"] == 2 * curves["steps_per_epoch"] == 12
    events = list((inputs / "curves" / "tensorboard").glob("events.out.tfevents.*"))
    assert events
    assert all(b"validation/auc_click" in event.read_bytes() for event in events)


@pytest.mark.slow
def test_a_refit_version_says_that_it_saw_the_validation_rows(inputs: Path) -> None:
    table = pq.read_table(inputs / "transformed" / "validation")
    times = pa.array([86_400_000] * table.num_rows).cast(pa.timestamp("ms", tz="UTC"))
    for file in (inputs / "transformed" / "validation").glob("*.parquet"):
        file.unlink()
    index = table.column_names.index("event_time")
    table = table.set_column(index, "event_time", times)
    pq.write_table(table, inputs / "transformed" / "validation" / "part-0.parquet")
    train(inputs, training__refit="true")
    scorer = Scorer.load(inputs / "model")
    assert scorer.version is not None
    assert scorer.version.manifest.training_window["end"] == "1970-01-02T00:00:00.000+00:00"


def test_a_one_class_task_is_named_and_nothing_is_written(inputs: Path) -> None:
    for file in (inputs / "transformed" / "train").glob("*.parquet"):
        table = pq.read_table(file)
        ones = pa.array([1] * table.num_rows, pa.int8())
        index = table.column_names.index("label_long_view")
        pq.write_table(table.set_column(index, "label_long_view", ones), file)
    with pytest.raises(DataError, match=r"'long_view' has the labels \[1\]"):
        train(inputs)
    assert not (inputs / "model").exists()
    assert not (inputs / "curves").exists()


def test_a_task_that_does_not_lie_within_another_is_named(inputs: Path) -> None:
    train(inputs, training__given="{long_view: click}")
    with pytest.raises(DataError, match=r"rows with click = 1 have long_view = 0"):
        train(inputs, training__given="{click: long_view}")


def test_an_unknown_override_is_named(inputs: Path) -> None:
    with pytest.raises(DefinitionError, match=r"training\.speed"):
        train(inputs, training__speed="9")


def test_an_empty_split_is_named(inputs: Path) -> None:
    for file in (inputs / "transformed" / "validation").glob("*.parquet"):
        pq.write_table(pq.read_table(file).slice(0, 0), file)
    with pytest.raises(DataError, match="validation"):
        train(inputs)


def test_trains_on_the_slice_of_the_real_log(small_model: Path) -> None:
    scorer = Scorer.load(small_model)
    assert scorer.version is not None
    assert scorer.version.manifest.metrics["validation_click_auc"] > 0.6


def test_the_version_says_which_objective_the_log_called_for(inputs: Path) -> None:
    train(inputs)
    objective = read_json(inputs / "curves" / "curves.json")["objective"]
    assert objective == {"bce": 1.0, "jrc": 1.0}
    kept = read_json(inputs / "model" / "manifest.json")["config"]["training"]["objective"]
    assert (kept["jrc"]["weight"], kept["jrc_without_lists"]) == (1.0, False)
