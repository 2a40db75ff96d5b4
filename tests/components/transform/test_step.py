"""What the step refuses, and that it leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from hemix.components.transform.step import run
from hemix.errors import DataError, StorageError
from hemix.features.definition import DatasetDefinition
from tests.features.transform.tiny import DEFINITION, TYPES, examples_table, write_examples


def step(definition: DatasetDefinition, examples: Path, out: Path) -> None:
    run(
        definition=definition,
        examples=examples,
        out_transformed=out / "transformed",
        out_transform=out / "transform",
    )


def with_split(**windows: dict[str, str]) -> DatasetDefinition:
    value = DEFINITION.model_dump(mode="json")
    value["split"].update(windows)
    return DatasetDefinition.parse(value)


@pytest.fixture
def table() -> pa.Table:
    return examples_table(60, seed=4)


def test_an_empty_training_split_is_named(table: pa.Table, tmp_path: Path) -> None:
    examples = write_examples(table, tmp_path / "examples")
    empty = with_split(train={"start": "2021-01-01", "end": "2021-01-02"}, validation=None)
    with pytest.raises(DataError, match=r"train split is empty: no example lies in 2021-01-01"):
        step(empty, examples, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_empty_test_split_is_named(table: pa.Table, tmp_path: Path) -> None:
    examples = write_examples(table, tmp_path / "examples")
    empty = with_split(test={"start": "2023-01-01", "end": "2023-01-02"})
    with pytest.raises(DataError, match="test split is empty"):
        step(empty, examples, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_files(tmp_path: Path) -> None:
    (tmp_path / "examples").mkdir()
    types = json.dumps(TYPES.to_json())
    (tmp_path / "examples" / "types.json").write_text(types)
    with pytest.raises(DataError, match=r"no day=\*/\*\.parquet"):
        step(DEFINITION, tmp_path / "examples", tmp_path / "out")


def test_a_truncated_file_is_named(table: pa.Table, tmp_path: Path) -> None:
    examples = write_examples(table, tmp_path / "examples")
    file = examples / "day=2022-01-02" / "part-0.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(StorageError, match=r"day=2022-01-02/part-0\.parquet"):
        step(DEFINITION, examples, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_missing_column_is_named(table: pa.Table, tmp_path: Path) -> None:
    examples = write_examples(table.drop_columns(["author"]), tmp_path / "examples")
    with pytest.raises(DataError, match="'author'"):
        step(DEFINITION, examples, tmp_path / "out")
    assert not (tmp_path / "out").exists()
