"""The contenders of the benchmark compute the same, and its log has the tail it promises."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.dataset as ds
import pytest

from benchmarks.inputs.generated import definition, write_log
from benchmarks.measuring import results
from benchmarks.rivals import elementwise, polars_examples
from benchmarks.sequences import agree
from hemix.features.examples import build as ours


@pytest.mark.slow
@pytest.mark.parametrize(
    ("window", "overlap"), [("day", False), ("10m", True), ("last", False), ("last", True)]
)
def test_all_contenders_agree(tmp_path: Path, window: str, overlap: bool) -> None:
    log = write_log(tmp_path / "events", 400)
    outs = [tmp_path / name for name in ("ours", "elementwise", "polars")]
    rule = definition(realtime_window=window, overlap=overlap, global_length=12, realtime_length=5)
    for contender, out in zip((ours, elementwise, polars_examples), outs, strict=True):
        contender.build(rule, log, out)
    assert agree(outs) == 400


@pytest.mark.slow
def test_other_rows_disagree(tmp_path: Path) -> None:
    outs = [tmp_path / name for name in ("one", "other")]
    for seed, out in enumerate(outs):
        log = write_log(tmp_path / f"events-{seed}", 400, seed=seed)
        polars_examples.build(definition(), log, out)
    with pytest.raises(AssertionError, match="differs"):
        agree(outs)


@pytest.mark.slow
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
