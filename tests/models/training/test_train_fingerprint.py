"""A checkpoint is of its data and of its recipe: what makes it another training, and what does not."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from hemix.errors import DataError
from hemix.models.data.reader import PIECE, PIECES, ParquetReader, content
from hemix.models.data.toy import toy_spec
from hemix.models.training.trainer import Trainer
from tests.models.files import write_split, write_splits
from tests.models.training.train_toy import toy_recipe, train

SHORT = {"training__epochs": "1", "training__refit": "false"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_splits(tmp_path)


def fingerprint(data: Path, **overrides: str) -> str:
    folders = data / "train", data / "validation"
    checkpoints = data / "checkpoints"
    return Trainer(toy_recipe(**overrides), toy_spec(), *folders, checkpoints).state.fingerprint


@pytest.mark.slow
def test_other_data_of_the_same_counts_is_another_training(data: Path) -> None:
    trained = train(data, data / "kept", toy_recipe(**SHORT))
    write_split(data / "train", rows=200, seed=1)
    other = train(data, data / "kept", toy_recipe(**SHORT))
    fresh = train(data, data / "fresh", toy_recipe(**SHORT))
    weights, first = fresh.ranker.state_dict(), trained.ranker.state_dict()
    for name, weight in other.ranker.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    assert any(not torch.equal(weight, first[name]) for name, weight in weights.items())


def test_it_follows_both_splits_and_not_where_they_lie(data: Path, tmp_path: Path) -> None:
    known = fingerprint(data)
    assert fingerprint(data) == known
    shutil.copytree(data / "train", tmp_path / "moved" / "train")
    shutil.copytree(data / "validation", tmp_path / "moved" / "validation")
    assert fingerprint(tmp_path / "moved") == known
    write_split(data / "validation", rows=80, seed=6)
    validation = fingerprint(data)
    write_split(data / "train", rows=200, seed=1)
    assert len({known, validation, fingerprint(data)}) == 3


def test_it_follows_what_changes_the_bits_only(data: Path) -> None:
    known = fingerprint(data)
    for key, value in {
        "checkpoint_every_s": "100",
        "processes": "2",
        "warm_start": "champion",
        "warm_rows": "fresh",
    }.items():
        assert fingerprint(data, **{f"training__{key}": value}) == known, key
    for key, value in {
        "seed": "1",
        "epochs": "3",
        "accumulate": "2",
        "fused_lookup": "false",
        "compile": "inductor",
        "precision": "bfloat16",
        "balance_lengths": "true",
    }.items():
        assert fingerprint(data, **{f"training__{key}": value}) != known, key


@pytest.mark.parametrize("rows", [1_000, 400_000])
def test_columns_without_statistics_are_told_apart(tmp_path: Path, rows: int) -> None:
    """Files of one size and one footer: small ones by any byte, large ones by their pieces."""
    found = set()
    for seed in range(2):
        path = tmp_path / f"{seed}.parquet"
        numbers = np.random.default_rng(seed).random(rows)
        table = pa.table({"x": numbers})
        pq.write_table(
            table, path, write_statistics=False, use_dictionary=False, compression="none"
        )
        found.add(content(path))
    assert len({path.stat().st_size for path in tmp_path.iterdir()}) == 1
    assert (path.stat().st_size > PIECES * PIECE) == (rows > 1_000)
    assert len(found) == 2


def test_a_small_file_is_told_by_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "part.parquet"
    pq.write_table(pa.table({"x": np.arange(30_000.0)}), path, use_dictionary=False)
    whole, known = path.read_bytes(), content(path)
    assert PIECE < len(whole) < PIECES * PIECE
    for at in range(0, len(whole), 997):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert content(path) != known, at


def test_the_order_of_files_counts_and_their_names_do_not(tmp_path: Path) -> None:
    write_split(tmp_path / "a", rows=40)
    (tmp_path / "b").mkdir()
    (tmp_path / "c").mkdir()
    for number in range(2):
        file = tmp_path / "a" / f"part-{number}.parquet"
        shutil.copy(file, tmp_path / "b" / f"other-{number}.parquet")
        shutil.copy(file, tmp_path / "c" / f"part-{1 - number}.parquet")
    named, renamed, swapped = (
        ParquetReader(toy_spec(), [tmp_path / name], batch_size=8).digest() for name in "abc"
    )
    assert named == renamed
    assert named != swapped


def test_a_file_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.parquet"):
        content(tmp_path / "gone.parquet")
