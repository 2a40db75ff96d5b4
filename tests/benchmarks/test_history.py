"""The history benchmark: cut histories are the last events, rows stay as they were."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks.accuracy.data import RunData
from benchmarks.history.__main__ import flops_at
from benchmarks.history.picture import draw
from benchmarks.history.shorter import kept, last, mean_length, shorten
from tests.small import SmallRun


def test_the_last_events_stay() -> None:
    lists = pa.array([[1, 2, 3], [], [4], [5, 6, 7, 8]])
    for part in (lists, lists.slice(1, 3)):
        for count in (1, 2, 3, 9):
            assert last(part, count).to_pylist() == [v[-count:] for v in part.to_pylist()]


def test_a_share_keeps_whole_requests() -> None:
    requests = np.repeat(np.array([f"r{i}" for i in range(3000)], dtype=object), 3)
    mask = kept(requests, 0.25)
    assert mask.reshape(-1, 3).all(1).sum() * 3 == mask.sum()
    assert mask.mean() == pytest.approx(0.25, abs=0.03)
    assert kept(requests, 1.0).all()
    assert (kept(requests, 0.5) >= mask).all()


@pytest.fixture(scope="module")
def data(small_run: SmallRun) -> RunData:
    return RunData(small_run.transformed, small_run.transform)


def test_only_the_history_changes(data: RunData, tmp_path: Path) -> None:
    short = shorten(data, tmp_path, sequence="global", length=3, train_share=0.5)
    assert {s.name: s.max_length for s in short.spec.sequences}["global"] == 3
    columns = [c.column for s in data.spec.sequences if s.name == "global" for c in s.columns]
    for split in ("train", "validation", "test"):
        before, after = (pq.read_table(d.transformed / split) for d in (data, short))
        assert before.schema.equals(after.schema)
        mask = kept(before["request_id"].to_numpy(), 0.5 if split == "train" else 1.0)
        before = before.filter(pa.array(mask))
        assert before.drop(columns).equals(after.drop(columns))
        for name in columns:
            assert after[name].to_pylist() == [v[-3:] for v in before[name].to_pylist()]
    # What is there is not written again.
    again = shorten(data, tmp_path, sequence="global", length=3, train_share=0.5)
    assert again.digest == short.digest != data.digest
    with pytest.raises(KeyError):
        shorten(data, tmp_path, sequence="weekly", length=3)


def test_flops_are_counted_at_the_mean_length(data: RunData, tmp_path: Path) -> None:
    lengths = pq.read_table(data.transformed / "train")["global_item_id_index"].to_pylist()
    mean, flops = flops_at("tiny", {}, data)
    assert mean == mean_length(data, "global") == pytest.approx(np.mean([*map(len, lengths)]))
    short = shorten(data, tmp_path, sequence="global", length=2)
    assert flops_at("tiny", {}, short)[1] < flops


def test_the_picture_has_a_line_a_budget(tmp_path: Path) -> None:
    value = {"mean": 0.7, "deviation": 0.01}
    models = {
        f"{length}, {budget}": {
            "length": length,
            "budget": budget,
            "test": {"click": {"auc": value, "impression_auc": value, "logloss": value}},
        }
        for length in (10, 100)
        for budget in ("all rows", "equal compute")
    }
    draw({"dataset": "d", "tasks": ["click"], "models": models}, tmp_path / "p.svg")
    text = (tmp_path / "p.svg").read_text()
    assert "equal compute" in text
    assert "mean AUC an impression" in text
    assert ">NaN<" not in text
