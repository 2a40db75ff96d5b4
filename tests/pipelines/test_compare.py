"""Runs beside each other: metrics of each, and paired gaps where the test rows are the same."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from hemix.cli.main import app
from hemix.components.evaluate.measure import Sample, measure_task
from hemix.components.evaluate.results import Bootstrap, Results, shared_column
from hemix.errors import DataError, StorageError
from hemix.models.metrics import pointwise
from hemix.models.metrics.bootstrap import UserBootstrap
from hemix.pipelines.local.compare import compare
from hemix.pipelines.local.record import RunRecord, StepRecord

ROWS = 1200
USERS = np.arange(ROWS) // 6
LABELS = (np.random.default_rng(0).random(ROWS) < 0.4).astype(np.int8)


def write_run(
    root: Path, version: str, strength: float, *, first_user: int = 0, one_state: bool = True
) -> Path:
    """A run whose candidate knows the label as well as ``strength`` says; its record."""
    scores = np.random.default_rng(1).random(ROWS) * 0.5 + LABELS * strength
    scores = (scores / 2).astype(np.float32)
    users = USERS + first_user
    time = pa.array(np.arange(ROWS), pa.timestamp("ms", tz="UTC"))
    folder = root / "artifacts" / version / "evaluate" / "evaluation"
    folder.mkdir(parents=True)
    columns = {
        "request_id": pa.array([f"r{user}-{n // 3}" for n, user in enumerate(users)]),
        "user_id": users,
        "item_id": np.arange(ROWS),
        "event_time": time,
        "label_click": LABELS,
        "p_candidate_click": scores,
    }
    shared = {"user": {"candidate": {"click": scores / 2}}} if one_state else {}
    if one_state:
        columns[shared_column("user", "candidate", "click")] = scores / 2
    pq.write_table(pa.table(columns), folder / "predictions.parquet")
    sample = Sample(
        draws=UserBootstrap.draw(users, replicates=50, seed=3),
        requests=np.arange(ROWS) // 3,
        labels={"click": LABELS},
        scores={"candidate": {"click": scores}},
        shared=shared,
    )
    moment = datetime(2024, 3, 1, tzinfo=UTC)
    Results(
        dataset="shop",
        window_start=moment,
        window_end=moment.replace(day=3),
        rows=ROWS,
        users=len(set(users)),
        items=ROWS,
        requests=ROWS // 3,
        bootstrap=Bootstrap(replicates=50, seed=3, confidence=0.95),
        models=(),
        tasks={"click": measure_task(sample, "click")},
        slices=(),
    ).write(folder)
    record = RunRecord(
        version=version,
        status="succeeded",
        started="2024",
        parameters={"recipe": "tiny"},
        steps=[
            StepRecord(name="evaluate", status="succeeded", artifacts={"evaluation": str(folder)})
        ],
    )
    (root / "runs").mkdir(exist_ok=True)
    record.write(root / "runs" / f"{version}.json", root / "run.json")
    return root / "runs" / f"{version}.json"


def test_what_an_earlier_release_did_not_score_on_one_state_has_no_gap(tmp_path: Path) -> None:
    old = write_run(tmp_path, "v1", 0.1, one_state=False)
    new, newer = (write_run(tmp_path, v, s) for v, s in (("v2", 0.4), ("v3", 0.5)))
    first, second = compare([str(old), str(new)])
    assert first.metric("click", "user_gauc").value is None  # type: ignore[union-attr]
    assert second.gaps["click"]["user_gauc"].value is None
    assert second.gaps["click"]["auc"].value is not None
    _, third = compare([str(new), str(newer)])
    assert third.gaps["click"]["user_gauc"].value > 0  # type: ignore[operator]


def test_gaps_to_the_first_are_paired_on_the_same_rows(tmp_path: Path) -> None:
    weak, strong = (write_run(tmp_path, v, s) for v, s in (("v1", 0.1), ("v2", 0.4)))
    write_run(tmp_path / "other", "v3", 0.4, first_user=7)
    first, second, third = compare([str(weak), str(strong), str(tmp_path / "other")])
    assert (first.label, first.gaps, first.note) == ("v1", {}, "")
    found = second.gaps["click"]["auc"]
    aucs = [run.metric("click", "auc") for run in (first, second)]
    assert found.value == pytest.approx(aucs[1].value - aucs[0].value)  # type: ignore[union-attr, operator]
    assert found.low is not None
    assert found.low > 0
    assert second.gaps["click"]["mrr"].value is not None
    assert third.gaps == {}
    assert third.note.startswith("other test rows")
    table = pq.read_table(tmp_path / "artifacts/v2/evaluate/evaluation/predictions.parquet")
    auc = pointwise.auc(LABELS, table["p_candidate_click"].to_numpy())
    assert aucs[1].value == pytest.approx(auc)  # type: ignore[union-attr]


@pytest.mark.slow
def test_the_command_prints_a_table_and_draws(tmp_path: Path) -> None:
    places = [str(write_run(tmp_path, v, s)) for v, s in (("v1", 0.1), ("v2", 0.4))]
    picture = tmp_path / "auc.svg"
    runner = CliRunner(env={"COLUMNS": "160"})
    done = runner.invoke(app, ["compare", *places, "--picture", str(picture)])
    assert done.exit_code == 0, done.exception
    for text in ("AUC", "MRR", "NDCG@10", "v1", "v2", "tiny", "1,200", "+0."):
        assert text in done.stdout
    assert "<svg" in picture.read_text()


def test_what_cannot_be_compared_is_said(tmp_path: Path) -> None:
    place = str(write_run(tmp_path, "v1", 0.1))
    with pytest.raises(DataError, match="two runs or more"):
        compare([place])
    with pytest.raises(DataError, match="One run stands twice: v1, v1"):
        compare([place, str(tmp_path)])
    (tmp_path / "artifacts/v1/evaluate/evaluation/predictions.parquet").unlink()
    with pytest.raises(StorageError, match="run v1 was not evaluated"):
        compare([place, place])
    with pytest.raises(StorageError, match="there is no such file"):
        compare([place, str(tmp_path / "nothing")])
