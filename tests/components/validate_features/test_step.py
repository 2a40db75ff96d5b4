"""The gate passes on real data and fails, by name, on what was planted."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemix.components.validate_features.future import changed_features
from hemix.components.validate_features.step import run
from hemix.errors import StorageError
from hemix.features.definition import DatasetDefinition
from hemix.features.transform.statistics import Statistics
from hemix.spec import FeatureSpec
from hemix.verdict import Check, Verdict


def rewrite(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Apply ``change`` to every Parquet file under ``folder``."""
    for file in sorted(folder.rglob("*.parquet")):
        with pq.ParquetFile(file) as parquet:
            table = parquet.read()
        pq.write_table(change(table), file)


def replace(table: pa.Table, name: str, values: np.ndarray) -> pa.Table:
    place = table.column_names.index(name)
    return table.set_column(place, name, pa.array(values).cast(table.schema.field(name).type))


def failed(verdict: Verdict, check: str) -> Check:
    found = [c for c in verdict.failures if c.check.startswith(f"{check} ")]
    assert found, [c.check for c in verdict.failures]
    return found[0]


@pytest.fixture(scope="module")
def champion(small_transform: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model version folder as far as this gate reads one."""
    folder = tmp_path_factory.mktemp("champion")
    shutil.copytree(small_transform, folder / "transform")
    return folder


def test_real_data_pass(
    small_definition: DatasetDefinition,
    small_events: Path,
    small_examples: Path,
    small_transformed: Path,
    small_transform: Path,
    champion: Path,
    tmp_path: Path,
) -> None:
    verdict = run(
        definition=small_definition,
        events=small_events,
        examples=small_examples,
        transformed=small_transformed,
        transform=small_transform,
        champion=champion,
        out_verdict=tmp_path / "verdict.json",
        out_docs=tmp_path / "docs",
    )
    assert verdict.passed, [c.sentence() for c in verdict.failures]
    assert Verdict.read(tmp_path / "verdict.json") == verdict
    assert (tmp_path / "docs" / "index.html").is_file()
    names = {c.check.split(" ")[0] for c in verdict.checks}
    assert names == {
        "ranges.outside",
        "sequences.non_empty_share",
        "sequences.of_training",
        "unknown_ids.unknown_share",
        "unknown_ids.gated_rise",
        "single_feature.auc_click",
        "single_feature.auc_long_view",
        "future_removed.changed",
        "drift.gated_psi",
    }
    future = next(c for c in verdict.checks if c.check.startswith("future_removed"))
    assert future.sample_size >= 200


def test_planted_faults_fail_by_name(
    small_definition: DatasetDefinition,
    small_events: Path,
    small_examples: Path,
    small_transformed: Path,
    small_transform: Path,
    champion: Path,
    tmp_path: Path,
) -> None:
    """A label in a number, ids beyond the vocabulary, unknown ids, a future counter, drift."""
    spec = FeatureSpec.read(small_transform / "spec.json")
    transformed, examples = tmp_path / "transformed", tmp_path / "examples"
    shutil.copytree(small_transformed, transformed)
    shutil.copytree(small_examples, examples)
    shutil.copytree(champion, tmp_path / "champion")

    def leak(table: pa.Table) -> pa.Table:
        label = table["label_click"].to_numpy().astype(np.float32)
        noise = np.random.default_rng(0).normal(0, 0.1, len(label))
        return replace(table, "item_click_1d_scaled", label + noise)

    def beyond(table: pa.Table) -> pa.Table:
        ids = table["tag_index"].to_numpy().copy()
        ids[0] = spec.vocabulary("tag").size
        table = replace(table, "tag_index", ids)
        return replace(table, "video_type_index", np.ones(len(ids), np.int32))

    def from_the_future(table: pa.Table) -> pa.Table:
        return replace(table, "user_click_1h", table["user_click_1h"].to_numpy() + 1)

    rewrite(transformed / "train", leak)
    rewrite(transformed / "test", beyond)
    rewrite(examples, from_the_future)
    path = tmp_path / "champion" / "transform" / "statistics.json"
    before = Statistics.read(path)
    tab = before.features["tab_index"]
    moved = tab.model_copy(update={"counts": tuple(reversed(tab.counts))})
    before.model_copy(update={"features": before.features | {"tab_index": moved}}).write(path)

    verdict = run(
        definition=small_definition,
        events=small_events,
        examples=examples,
        transformed=transformed,
        transform=small_transform,
        champion=tmp_path / "champion",
        out_verdict=tmp_path / "verdict.json",
        out_docs=tmp_path / "docs",
    )
    assert not verdict.passed
    assert failed(verdict, "single_feature.auc_click").note.startswith("item_click_1d_scaled")
    outside = failed(verdict, "ranges.outside")
    assert (outside.slice, outside.note.split(" ")[0]) == ("test", "tag_index")
    assert failed(verdict, "unknown_ids.gated_rise").note.startswith("video_type_index 1")
    assert failed(verdict, "future_removed.changed").note.startswith("user_click_1h ")
    assert failed(verdict, "drift.gated_psi").note.startswith("tab_index")
    assert len(verdict.failures) == 5, [c.sentence() for c in verdict.failures]


def test_future_events_in_a_sequence_are_found(
    small_definition: DatasetDefinition, small_events: Path, small_examples: Path, tmp_path: Path
) -> None:
    """Sequences of the next row of the same file: what a join without times would give."""
    examples = tmp_path / "examples"
    shutil.copytree(small_examples, examples)

    def shift(table: pa.Table) -> pa.Table:
        place = table.column_names.index("global_tag")
        return table.set_column(
            place,
            "global_tag",
            pa.array(
                [*table["global_tag"].to_pylist()[1:], []], table.schema.field("global_tag").type
            ),
        )

    rewrite(examples, shift)
    frame, compared = changed_features(small_definition, small_events, examples, cuts=1, sample=40)
    changed = dict(zip(frame["feature"], frame["changed"], strict=True))
    assert compared == 40
    assert changed.pop("global_tag") > 20
    assert not any(changed.values())


def test_a_damaged_file_is_named(
    small_definition: DatasetDefinition,
    small_events: Path,
    small_examples: Path,
    small_transformed: Path,
    small_transform: Path,
    tmp_path: Path,
) -> None:
    shutil.copytree(small_transformed, tmp_path / "transformed")
    file = sorted((tmp_path / "transformed" / "train").glob("*.parquet"))[0]
    file.write_bytes(file.read_bytes()[:-50])
    with pytest.raises(StorageError, match=file.name):
        run(
            definition=small_definition,
            events=small_events,
            examples=small_examples,
            transformed=tmp_path / "transformed",
            transform=small_transform,
            champion=None,
            out_verdict=tmp_path / "verdict.json",
            out_docs=tmp_path / "docs",
        )
    assert not (tmp_path / "verdict.json").exists()
