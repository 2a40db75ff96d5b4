"""What feeds a GPU, as far as a CPU can tell: page-locked batches, fused optimisers."""

from __future__ import annotations

import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from hemix.errors import DataError
from hemix.models.data.reader import ParquetReader
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.training import checkpoint, optimizers
from hemix.models.training.distributed import World
from hemix.models.training.train_step import Steps
from hemix.models.training.trainer import Trainer
from tests.models.files import write_split
from tests.models.training.train_toy import toy_recipe

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)


@pytest.fixture
def pins(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """What is pinned (a tensor's type) and which GPU is chosen, with the thread that does it."""
    told: list[tuple[str, object]] = []

    def pin(tensor: Tensor) -> Tensor:
        told.append((threading.current_thread().name, tensor.dtype))
        return tensor.clone()

    def choose(device: torch.device) -> None:
        told.append((threading.current_thread().name, device))

    monkeypatch.setattr(Tensor, "pin_memory", pin)
    monkeypatch.setattr(torch.cuda, "set_device", choose)
    return told


def test_batches_for_a_gpu_are_pinned_by_the_thread_that_reads(
    tmp_path: Path, pins: list[tuple[str, object]]
) -> None:
    write_split(tmp_path, rows=40)
    plain = list(ParquetReader(toy_spec(), [tmp_path], batch_size=16).epoch())
    also = list(ParquetReader(toy_spec(), [tmp_path], batch_size=16, device=CPU).epoch())
    assert not pins
    pinned = list(ParquetReader(toy_spec(), [tmp_path], batch_size=16, device=GPU).epoch())
    assert {thread for thread, _ in pins} == {"parquet-reader"}
    assert [what for _, what in pins if isinstance(what, torch.device)] == [GPU]
    one = plain[0]
    tensors = len(one.ids) + len(one.numbers) + len(one.labels) + 2 * len(one.lists)
    assert len(pins) == 1 + tensors * len(plain)
    for batch, other, third in zip(plain, pinned, also, strict=True):
        for same in (other, third):
            assert same.size == batch.size
            assert all(torch.equal(same.ids[k], v) for k, v in batch.ids.items())
            assert all(torch.equal(same.numbers[k], v) for k, v in batch.numbers.items())
            assert all(torch.equal(same.labels[k], v) for k, v in batch.labels.items())
            for name, lists in batch.lists.items():
                assert torch.equal(same.lists[name].values, lists.values)
                assert torch.equal(same.lists[name].offsets, lists.offsets)
                assert same.lists[name].longest == lists.longest


def test_a_failure_to_pin_reaches_the_trainer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(tensor: Tensor) -> Tensor:
        raise DataError("no page-locked memory")

    monkeypatch.setattr(Tensor, "pin_memory", refuse)
    write_split(tmp_path, rows=40)
    gpu = torch.device("cuda")
    with pytest.raises(DataError, match="page-locked"):
        list(ParquetReader(toy_spec(), [tmp_path], batch_size=16, device=gpu).epoch())


def test_a_trainer_tells_its_readers_where_batches_go(tmp_path: Path) -> None:
    write_split(tmp_path / "train", rows=40)
    write_split(tmp_path / "validation", rows=40)
    folders = tmp_path / "train", tmp_path / "validation"
    trainer = Trainer(toy_recipe(), toy_spec(), *folders, tmp_path / "c", world=World(device=GPU))
    readers = [trainer.fit_reader, trainer.validation, trainer.refit_reader]
    assert [reader and reader.device for reader in readers] == [GPU] * 3


def test_optimisers_are_fused_on_a_gpu_only() -> None:
    gpu, cpu = SimpleNamespace(device=GPU), SimpleNamespace(device=CPU)
    assert optimizers._fused([gpu, gpu]) is True  # type: ignore[list-item]
    assert optimizers._fused([gpu, cpu]) is None  # type: ignore[list-item]
    recipe = toy_recipe()
    made = optimizers.make_optimizers(recipe.build(toy_spec()), recipe.training)
    for optimizer in made.values():
        assert optimizer.defaults["fused"] is None


def test_fused_and_plain_optimisers_share_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch has the fused kernel for the CPU too: two steps, a checkpoint between them."""
    recipe = toy_recipe()
    weights = []
    for kinds in ([None, None], [True, True], [True, None], [None, True]):
        tensors: dict[str, Tensor] = {}
        for number, fused in enumerate(kinds):
            monkeypatch.setattr(optimizers, "_fused", lambda _, fused=fused: fused)
            torch.manual_seed(0)
            steps = Steps(recipe.build(toy_spec()), recipe.training, World(device=CPU))
            if number:
                with torch.no_grad():
                    for name, parameter in steps.ranker.named_parameters():
                        parameter.copy_(tensors[f"model.{name}"])
                for name, optimizer in steps.optimizers.items():
                    checkpoint.restore_optimizer(optimizer, f"optimizer.{name}", tensors)
            steps.take(toy_batch(rows=16, seed=number), number + 1, 1.0)
            tensors = {f"model.{k}": v.clone() for k, v in steps.ranker.state_dict().items()}
            for name, optimizer in steps.optimizers.items():
                tensors |= checkpoint.optimizer_tensors(optimizer, f"optimizer.{name}")
        weights.append(tensors)
    for other in weights[1:]:
        assert other.keys() == weights[0].keys()
        for name, value in weights[0].items():
            torch.testing.assert_close(other[name], value, rtol=1e-5, atol=1e-6, msg=name)
