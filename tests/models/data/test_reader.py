"""The streaming reader: every row once, the same order for a seed, resumable, flat in memory."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hemix.errors import DataError
from hemix.models.data.batch import Batch, Jagged
from hemix.models.data.reader import ParquetReader
from hemix.models.data.toy import toy_batch, toy_spec
from tests.models.files import write_split


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("reader") / "train"
    write_split(path, rows=101, files=3, group=7)
    return path


def ages(batches: list[Batch]) -> list[float]:
    return [float(x) for batch in batches for x in batch.numbers["age"]]


def same(a: Batch, b: Batch) -> bool:
    return (
        a.size == b.size
        and all(torch.equal(a.ids[k], b.ids[k]) for k in a.ids)
        and all(torch.equal(a.numbers[k], b.numbers[k]) for k in a.numbers)
        and all(torch.equal(a.labels[k], b.labels[k]) for k in a.labels)
        and all(torch.equal(a.lists[k].values, b.lists[k].values) for k in a.lists)
        and all(torch.equal(a.lists[k].offsets, b.lists[k].offsets) for k in a.lists)
    )


def test_unshuffled_rows_are_the_files_rows(folder: Path) -> None:
    table = pq.read_table(folder)
    reader = ParquetReader(toy_spec(), [folder], batch_size=10)
    batches = list(reader.epoch())
    assert [batch.size for batch in batches] == [10] * 10 + [1]
    assert same(Batch.concat(batches), Batch.from_table(toy_spec(), table))


@pytest.mark.slow
@given(
    batch_size=st.integers(1, 40),
    shuffle_rows=st.sampled_from([1, 20, 1000]),
    epoch=st.integers(0, 2),
    start=st.integers(0, 100),
    drop_last=st.booleans(),
)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_every_row_once_and_resumable_at_any_batch(
    folder: Path, batch_size: int, shuffle_rows: int, epoch: int, start: int, drop_last: bool
) -> None:
    reader = ParquetReader(
        toy_spec(),
        [folder],
        batch_size=batch_size,
        seed=3,
        shuffle_rows=shuffle_rows,
        drop_last=drop_last,
    )
    batches = list(reader.epoch(epoch))
    assert len(batches) == reader.batches
    rows = ages(batches)
    everything = ages(list(ParquetReader(toy_spec(), [folder], batch_size=50).epoch()))
    assert len(set(rows)) == len(rows)
    assert set(rows) <= set(everything)
    assert len(rows) == (101 // batch_size * batch_size if drop_last else 101)
    start %= reader.batches
    resumed = list(reader.epoch(epoch, start))
    assert len(resumed) == len(batches) - start
    assert all(same(a, b) for a, b in zip(resumed, batches[start:], strict=True))


def test_order_depends_on_seed_and_epoch_only(folder: Path) -> None:
    def order(seed: int, epoch: int) -> list[float]:
        reader = ParquetReader(toy_spec(), [folder], batch_size=8, seed=seed, shuffle_rows=30)
        return ages(list(reader.epoch(epoch)))

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(1, 0)
    assert order(0, 0) != order(0, 1)


def test_only_a_block_is_read_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = ParquetReader(toy_spec(), [folder], batch_size=4, shuffle_rows=14)
    sizes: list[int] = []
    read = ParquetReader._read

    def spy(self: ParquetReader, block: list[object]) -> Batch:
        batch = read(self, block)  # type: ignore[arg-type]
        sizes.append(batch.size)
        return batch

    monkeypatch.setattr(ParquetReader, "_read", spy)
    assert sum(batch.size for batch in reader.epoch()) == 101
    assert max(sizes) <= 14 + 7  # a block ends with the row group that fills it


def test_an_abandoned_epoch_leaves_no_thread(folder: Path) -> None:
    batches = ParquetReader(toy_spec(), [folder], batch_size=2).epoch()
    next(batches)
    batches.close()
    assert not [t for t in threading.enumerate() if t.name == "parquet-reader"]


def test_an_empty_folder_and_a_truncated_file_are_named(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="train"):
        ParquetReader(toy_spec(), [tmp_path / "train"], batch_size=4)
    write_split(tmp_path / "train", rows=40, files=1)
    file = tmp_path / "train" / "part-0.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"part-0\.parquet"):
        ParquetReader(toy_spec(), [tmp_path / "train"], batch_size=4)


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    table = write_split(tmp_path, rows=40, files=1)
    pq.write_table(table.drop_columns(["global_tag"]), tmp_path / "part-0.parquet")
    with pytest.raises(DataError, match="global_tag"):
        list(ParquetReader(toy_spec(), [tmp_path], batch_size=4).epoch())


def test_jagged_take_and_padding_equal_lists() -> None:
    jagged = toy_batch(rows=9).lists["global"]
    lists = [
        jagged.values[:, int(a) : int(b)].T.tolist()
        for a, b in zip(jagged.offsets[:-1], jagged.offsets[1:], strict=True)
    ]
    rows = torch.tensor([3, 3, 0, 8])
    taken = jagged.take(rows)
    ids, mask = taken.padded(10)
    assert ids.shape == (3, 4, 10)
    for position, row in enumerate(rows.tolist()):
        length = len(lists[row])
        assert ids[:, position, :length].T.tolist() == lists[row]
        assert not ids[:, position, length:].any()
        assert mask[position].tolist() == [True] * length + [False] * (10 - length)


def test_lists_of_unequal_length_are_refused(tmp_path: Path) -> None:
    table = write_split(tmp_path, rows=10, files=1)
    position = table.column_names.index("global_tag")
    wrong = table.set_column(position, "global_tag", table["realtime_tag"])
    with pytest.raises(DataError, match="global_tag"):
        Batch.from_table(toy_spec(), wrong)


def test_a_sliced_table_gives_its_own_lists() -> None:
    from tests.models.files import toy_table

    table = toy_table(toy_batch(rows=12))
    part = Batch.from_table(toy_spec(), table.slice(5, 4)).lists["realtime"]
    whole = Batch.from_table(toy_spec(), table).lists["realtime"]
    expected: Jagged = whole.take(torch.arange(5, 9))
    assert np.array_equal(part.values, expected.values)
    assert np.array_equal(part.offsets, expected.offsets)
