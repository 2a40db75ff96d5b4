"""The contenders of the benchmark compute the same, and its log has the tail it promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest

from benchmarks import results
from benchmarks.generated import definition, write_log
from benchmarks.rivals import elementwise, polars_examples
from benchmarks.sequences import agree
from features.examples import build


def test_all_contenders_agree(tmp_path: Path) -> None:
    log = write_log(tmp_path / "events", 400)
    outs = [tmp_path / name for name in ("ours", "elementwise", "polars")]
    build(definition(), log, outs[0])
    elementwise.build(definition(), log, outs[1])
    polars_examples.build(definition(), log, outs[2])
    assert agree(outs) == 400
    other = write_log(tmp_path / "other", 400, seed=1)
    polars_examples.build(definition(), other, tmp_path / "different")
    with pytest.raises(AssertionError, match="differs"):
        agree([outs[0], tmp_path / "different"])


def test_users_are_long_tailed(tmp_path: Path) -> None:
    log = write_log(tmp_path / "events", 200_000)
    users = ds.dataset(log / "behaviors").to_table(columns=["user_id"])["user_id"].to_numpy()
    counts = np.bincount(users)
    assert len(users) == 200_000
    assert 15 < np.median(counts) < 27
    assert 600 < np.quantile(counts, 0.99) < 1600


def test_a_result_says_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    path = results.write_result("x", {"rows_per_s": 1.0}, ["python", "-m", "a b"])
    value = json.loads(path.read_text())
    assert path.name == f"x-{value['date'][:10]}.json"
    assert value["figures"] == {"rows_per_s": 1.0}
    assert value["command"] == "python -m 'a b'"
    assert {"cores", "memory_gb", "cpu"} == set(value["hardware"])
    assert value["versions"]["pyarrow"]
    assert value["commit"]
