"""Training in two processes: the course of one, also when a process dies."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file

from components.train.step import run
from components.train.torchrun import run_processes
from components.train.worker import Work
from hemix.errors import DataError, DefinitionError, EnvironmentProblem
from hemix.files import read_json
from models.checkpoint import NAME
from models.recipes import recipe_of
from models.toy import toy_spec
from tests.models.files import write_split

DEADLY = "tests.components.deadly_worker"
OVERRIDES = {
    "model.token_width": "8",
    "model.tower": "[8]",
    "model.dropout": "0.1",
    "model.embedding.dropout": "0.1",
    "model.embedding.id_dropout": "0.2",
    "model.embedding.large": "10",
    "training.batch_size": "16",
    "training.epochs": "2",
    "training.ema": "0.9",
    "training.refit": "true",
    "training.shuffle_rows": "40",
    "training.checkpoint_every_s": "0",
}
SPARSE = {
    "model.embedding.sparse": "true",
    "training.embedding_optimizer": "adagrad",
    "training.refit": "false",
}
# float32 sums of two halves differ from the sum of the whole in the last bit (6e-8 of 1), and each
# step adds such a difference to the weights. A wrong gradient shows at 1e-2.
TOLERANCE = 2e-5


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("processes")
    write_split(folder / "transformed" / "train", rows=200)
    write_split(folder / "transformed" / "validation", rows=81, seed=5)
    toy_spec().write(folder / "transform" / "spec.json")
    return folder


def train(data: Path, out: Path, processes: int, **more: str) -> dict[str, torch.Tensor]:
    run(
        transformed=data / "transformed",
        transform=data / "transform",
        recipe="compact",
        overrides=OVERRIDES | more | {"training.processes": str(processes)},
        version="v1",
        feature_service="ranker_v1",
        checkpoints=out / "checkpoints",
        out_model=out / "model",
        out_curves=out / "curves",
    )
    return load_file(out / "model" / "model.safetensors")


def work(data: Path, checkpoints: Path, **more: str) -> Work:
    recipe = recipe_of("compact", OVERRIDES | more | {"training.processes": "2"})
    return Work(
        recipe=recipe.model_dump(mode="json"),
        spec=str(data / "transform" / "spec.json"),
        train=str(data / "transformed" / "train"),
        validation=str(data / "transformed" / "validation"),
        checkpoints=str(checkpoints),
        attempt="test",
    )


@pytest.fixture(scope="module")
def two(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Outputs of an undisturbed training in two processes."""
    out = tmp_path_factory.mktemp("two")
    train(data, out, 2)
    return out


def losses(out: Path) -> list[float]:
    return [point["loss"] for point in read_json(out / "curves" / "curves.json")["training"]]


def test_two_processes_take_the_course_of_one(data: Path, two: Path, tmp_path: Path) -> None:
    alone = train(data, tmp_path, 1)
    assert losses(two) == pytest.approx(losses(tmp_path), abs=TOLERANCE)
    both = [read_json(out / "curves" / "curves.json") for out in (two, tmp_path)]
    assert [p["step"] for p in both[0]["training"]] == [p["step"] for p in both[1]["training"]]
    for mine, theirs in zip(both[0]["validation"], both[1]["validation"], strict=True):
        assert mine["logloss"] == pytest.approx(theirs["logloss"], abs=TOLERANCE)
    together = load_file(two / "model" / "model.safetensors")
    assert together.keys() == alone.keys()
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, rtol=0, atol=TOLERANCE, msg=name)
    assert sorted(p.name for p in (two / "checkpoints").iterdir()) == [NAME, "tensorboard"]


def test_sparse_tables_take_the_course_of_one(data: Path, tmp_path: Path) -> None:
    together = train(data, tmp_path / "two", 2, **SPARSE)
    alone = train(data, tmp_path / "one", 1, **SPARSE)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), abs=TOLERANCE)
    for name, weight in alone.items():
        torch.testing.assert_close(together[name], weight, rtol=0, atol=TOLERANCE, msg=name)


def test_a_killed_process_changes_no_bit(
    data: Path, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMIX_TEST_KILL", "1:7")
    run_processes(work(data, tmp_path), 2, restarts=1, module=DEADLY)
    killed, whole = (load_file(folder / NAME) for folder in (tmp_path, two / "checkpoints"))
    assert killed.keys() == whole.keys()
    for name, tensor in whole.items():
        assert torch.equal(killed[name], tensor), name


def test_one_process_goes_on_where_two_died(
    data: Path, two: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEMIX_TEST_KILL", "0:5")
    with pytest.raises(EnvironmentProblem, match=r"process 0 of 2 ended 1 times.*-9"):
        run_processes(work(data, tmp_path / "checkpoints"), 2, restarts=0, module=DEADLY)
    resumed = train(data, tmp_path, 1)
    for name, weight in load_file(two / "model" / "model.safetensors").items():
        torch.testing.assert_close(resumed[name], weight, rtol=0, atol=TOLERANCE, msg=name)
    points = read_json(tmp_path / "curves" / "curves.json")["training"]
    assert [point["step"] for point in points if point["phase"] == "fit"] == list(range(1, 25))


def test_an_error_with_a_name_comes_out_and_is_not_tried_again(data: Path, tmp_path: Path) -> None:
    (tmp_path / "transform").symlink_to(data / "transform")
    (tmp_path / "transformed").mkdir()
    (tmp_path / "transformed" / "train").symlink_to(data / "transformed" / "train")
    table = write_split(tmp_path / "transformed" / "validation", rows=40, files=1)
    for task in ("label_click", "label_long_view"):
        zeros = pa.array([0] * table.num_rows, pa.int8())
        table = table.set_column(table.column_names.index(task), task, zeros)
    pq.write_table(table, tmp_path / "transformed" / "validation" / "part-0.parquet")
    with pytest.raises(DataError, match="one class"):
        train(tmp_path, tmp_path / "out", 2)
    assert not (tmp_path / "out" / "model").exists()
    assert not list((tmp_path / "out").rglob("error-*"))


def test_what_cannot_be_shared_is_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DefinitionError, match="16 is not a multiple of the 3 processes"):
        train(data, tmp_path, 3)
    with pytest.raises(DefinitionError, match=r"256.* there are 200 training rows"):
        train(data, tmp_path, 2, **{"training.batch_size": "256"})
    with pytest.raises(DefinitionError, match="nodes=2 needs a cluster"):
        train(data, tmp_path, 1, **{"training.nodes": "2"})
