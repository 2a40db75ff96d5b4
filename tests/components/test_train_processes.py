"""The train step in two processes under torchrun: one dies, all go on and end as if none had."""

from __future__ import annotations

from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from hemix.components.train import torchrun
from hemix.components.train.step import run
from hemix.components.train.worker import Work
from hemix.errors import DataError, DefinitionError, EnvironmentProblem
from hemix.models.data.toy import toy_spec
from hemix.models.training.checkpoint import NAME
from hemix.models.training.recipes import recipe_of
from hemix.models.training.suited import suited
from tests.models.files import write_split
from tests.models.training.ranks import train_in

pytestmark = pytest.mark.slow

DEADLY = "tests.components.deadly_worker"
OVERRIDES = {
    "model.token_width": "8",
    "model.tower": "[8]",
    "model.dropout": "0.1",
    "training.processes": "2",
    "training.batch_size": "32",
    "training.evaluations": "1",
    "training.ema": "0.9",
    "training.refit": "true",
    "training.checkpoint_every_s": "0",
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    torch.set_num_threads(1)
    folder = tmp_path / "transformed"
    write_split(folder / "train", rows=200)
    write_split(folder / "validation", rows=81, seed=5)
    toy_spec().write(tmp_path / "transform" / "spec.json")
    return folder


def train(data: Path, **more: str) -> None:
    root = data.parent
    run(
        transformed=data,
        transform=root / "transform",
        recipe="compact",
        overrides=OVERRIDES | more,
        version="v1",
        feature_service="ranker_v1",
        checkpoints=root / "checkpoints",
        out_model=root / "model",
        out_curves=root / "curves",
    )


def test_a_killed_process_changes_no_bit(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEMIX_TEST_KILL", "1:4")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(torchrun, "WORKER", DEADLY)
    monkeypatch.setattr(torchrun, "RESTARTS", 1)
    train(data)
    root = data.parent
    whole = root / "whole"
    train_in(2, data, whole, suited(recipe_of("compact", OVERRIDES), toy_spec(), data / "train"))
    killed, unkilled = (load_file(p / NAME) for p in (root / "checkpoints", whole))
    assert killed.keys() == unkilled.keys()
    for name, tensor in unkilled.items():
        assert torch.equal(killed[name], tensor), name
    model = load_file(root / "model" / "model.safetensors")
    for name, tensor in model.items():
        assert torch.equal(tensor, unkilled[f"model.{name}"]), name
    assert sorted(p.name for p in (root / "checkpoints").iterdir()) == [NAME, "tensorboard"]
    assert list((root / "curves" / "tensorboard").iterdir())
    assert not [p for p in psutil.Process().children(True) if DEADLY in " ".join(p.cmdline())]


def test_processes_that_always_die_are_named(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torchrun, "WORKER", "tests.components.dying_worker")
    root = data.parent
    work = Work(
        recipe=recipe_of("compact", OVERRIDES).model_dump(mode="json"),
        spec=str(root / "transform" / "spec.json"),
        train=str(data / "train"),
        validation=str(data / "validation"),
        checkpoints=str(root / "checkpoints"),
        attempt="test",
    )
    with pytest.raises(EnvironmentProblem, match=r"died 1 times.*rank 0 of 2 with exit code -9"):
        torchrun.run_processes(work, 2, restarts=0)


def test_an_error_with_a_name_comes_out_and_is_not_tried_again(data: Path) -> None:
    for path in (data / "validation").iterdir():
        path.unlink()
    table = write_split(data / "validation", rows=40, files=1)
    for task in ("label_click", "label_long_view"):
        zeros = pa.array([0] * table.num_rows, pa.int8())
        table = table.set_column(table.column_names.index(task), task, zeros)
    pq.write_table(table, data / "validation" / "part-0.parquet")
    with pytest.raises(DataError, match="one class"):
        train(data)
    assert not (data.parent / "model").exists()
    assert not list(data.parent.rglob("error-*"))


def test_what_cannot_be_shared_is_refused(data: Path) -> None:
    with pytest.raises(DefinitionError, match="32 is not a multiple of the 3 processes"):
        train(data, **{"training.processes": "3"})
    with pytest.raises(DefinitionError, match="nodes=2 needs a cluster"):
        train(data, **{"training.nodes": "2"})
