"""Switches of the training engine: parts of a batch, schedules, balanced batches, memory, compiler."""

from __future__ import annotations

import math
import weakref
from pathlib import Path

import numpy as np
import pytest
import torch

from hemix.errors import DefinitionError, EnvironmentProblem
from hemix.models.data.batch import Batch
from hemix.models.data.reader import ParquetReader, spread
from hemix.models.data.toy import toy_batch, toy_spec
from hemix.models.training.curves import Meter, ValidationPoint
from hemix.models.training.distributed import World
from hemix.models.training.optimizers import rate_share
from hemix.models.training.recipes import recipe_of
from hemix.models.training.state import State
from hemix.models.training.train_step import Steps, compiled
from tests.models.files import write_split
from tests.models.training.ranks import train_in
from tests.models.training.test_distributed import assert_same_course
from tests.models.training.train_toy import HASTY, toy_recipe, train

SHORT = {"training__epochs": "1", "training__refit": "false"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine")
    write_split(folder / "train", rows=200, seed=0)
    write_split(folder / "validation", rows=81, seed=5)
    return folder


@pytest.mark.parametrize("sparse", [False, True])
def test_parts_of_a_batch_take_the_step_of_the_whole(sparse: bool) -> None:
    """Dropout, unknown ids, a task within another and clipping included."""
    batch = toy_batch(rows=16, seed=1)
    weights = []
    for parts in (1, 4):
        recipe = toy_recipe(
            training__accumulate=str(parts),
            training__given="{long_view: click}",
            training__embedding_optimizer="adagrad",
            model__embedding__sparse=str(sparse).lower(),
            model__embedding__dropout="0.2",
        )
        torch.manual_seed(0)
        steps = Steps(recipe.build(toy_spec()).train(), recipe.training, World())
        losses = [steps.take(batch, number, 1.0).item() for number in (1, 2)]
        weights.append((losses, steps.ranker.state_dict(), torch.get_rng_state()))
    (one, whole, after), (many, parted, also) = weights
    assert many == pytest.approx(one, rel=1e-5)
    assert torch.equal(after, also)
    for name, weight in whole.items():
        torch.testing.assert_close(parted[name], weight, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.slow
def test_parts_and_processes_take_the_same_course(data: Path, tmp_path: Path) -> None:
    train(data, tmp_path / "one", toy_recipe(**SHORT))
    recipe = toy_recipe(**SHORT, training__accumulate="2", training__given_loss="esmm")
    train_in(2, data, tmp_path / "two", recipe)
    assert_same_course(tmp_path / "two", tmp_path / "one")


def test_unequal_parts_are_refused() -> None:
    with pytest.raises(DefinitionError, match="accumulate 3"):
        recipe_of("compact", {"training.accumulate": "3"})


def test_schedules() -> None:
    for progress in np.linspace(0, 1, 11):
        rise = min(progress / 0.2, 1)
        assert rate_share(progress, 0.2) == pytest.approx(rise * (1 - progress))
        cosine = rise * (math.cos(math.pi * progress) + 1) / 2
        assert rate_share(progress, 0.2, "cosine") == pytest.approx(cosine)
        assert rate_share(progress, 0.2, "constant") == pytest.approx(rise)
    with pytest.raises(DefinitionError, match=r"training\.schedule"):
        recipe_of("compact", {"training.schedule": "step"})


@pytest.mark.slow
def test_a_schedule_is_the_optimisers_rate(data: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(**SHORT, training__schedule="cosine", training__warmup="0")
    curve = train(data, tmp_path, recipe).state.curve
    for point in curve:
        expected = recipe.training.learning_rate * (1 + math.cos(math.pi * point.step / 13)) / 2
        assert point.learning_rate == pytest.approx(expected)


def test_a_cut_is_a_validation_no_better_than_all_before() -> None:
    scores = [0.6, 0.7, 0.7, 0.65, 0.71, 0.5]
    points = [
        ValidationPoint(step=k, epoch=k / 2, auc={"click": score}, logloss={"click": 0.5})
        for k, score in enumerate(scores, start=1)
    ]
    state = State(fingerprint="x", validation=points)
    assert [state.cuts(k / 2) for k in range(7)] == [0, 0, 0, 1, 2, 2, 3]
    assert [state.cuts(epoch) for epoch in (1.49, 1.5, 99.0)] == [0, 1, 3]


@pytest.mark.slow
def test_the_rate_falls_to_a_tenth_where_validation_is_no_better_in_a_refit_too(
    data: Path, tmp_path: Path
) -> None:
    setting = {"schedule": "plateau", "warmup": "0", "epochs": "6", "evaluations": "1"}
    recipe = toy_recipe(**HASTY, **{f"training__{k}": v for k, v in setting.items()})
    state = train(data, tmp_path, recipe).state
    gains = [
        p.score > max((q.score for q in state.validation[:place]), default=-math.inf)
        for place, p in enumerate(state.validation)
    ]
    assert not all(gains)
    assert {p.phase for p in state.curve} == {"fit", "refit"}
    per_epoch = {
        phase: next(p.step / p.epoch for p in state.curve if p.phase == phase)
        for phase in ("fit", "refit")
    }
    for point in state.curve:
        before = int((point.step - 1) / per_epoch[point.phase] + 1e-9)  # whole epochs behind it
        falls = gains[:before].count(False)
        assert point.learning_rate == pytest.approx(0.1 * 0.1**falls), point
    again = train(data, tmp_path, recipe, kill_at=0)  # nothing is left to do
    assert again.state == state


def events(batch: Batch) -> torch.Tensor:
    return torch.stack([lists.lengths for lists in batch.lists.values()]).sum(0)


@pytest.mark.parametrize("start", [0, 1, 5])
def test_balanced_batches_hold_every_row_once_and_go_on_anywhere(data: Path, start: int) -> None:
    def read(balanced: bool, share: tuple[int, int] = (0, 1), start: int = 0) -> list[Batch]:
        reader = ParquetReader(
            toy_spec(), [data / "train"], batch_size=8, seed=2, shuffle_rows=60,
            balance_lengths=balanced, share=share,
        )  # fmt: skip
        return list(reader.epoch(1, start))

    whole, plain = read(True), read(False)
    ages = [
        sorted(float(x) for b in batches for x in b.numbers["age"]) for batches in (whole, plain)
    ]
    assert ages[0] == ages[1]
    resumed = read(True, start=start)
    for mine, theirs in zip(resumed, whole[start:], strict=True):
        assert torch.equal(mine.numbers["age"], theirs.numbers["age"])
    spreads = [np.mean([float(events(b).float().std()) for b in part]) for part in (whole, plain)]
    assert spreads[0] < 0.6 * spreads[1]
    order = [float(events(b).float().mean()) for b in whole]
    assert order != sorted(order)
    halves = [read(True, (k, 2), start) for k in (0, 1)]
    for number, batch in enumerate(whole[start:]):
        joined = Batch.concat([half[number] for half in halves])
        assert torch.equal(joined.numbers["age"], batch.numbers["age"])


def test_runs_of_neighbours_are_spread_over_all() -> None:
    for size in (1, 2, 7, 16, 100):
        assert sorted(spread(size)) == list(range(size))
    numbers = spread(64)
    for part in range(0, 64, 16):
        assert abs(numbers[part : part + 16].mean() - 31.5) <= 2


@pytest.mark.slow
def test_a_balanced_training_learns_and_resumes(data: Path, tmp_path: Path) -> None:
    recipe = toy_recipe(**SHORT, training__balance_lengths="true")
    train(data, tmp_path / "one", recipe)
    train_in(2, data, tmp_path / "two", recipe, end_at=5)
    train(data, tmp_path / "two", recipe)
    assert_same_course(tmp_path / "two", tmp_path / "one")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows in memory at once: two blocks at most and the few batches that were read ahead."""
    alive: list[weakref.ref[Batch]] = []
    most = {}
    create = Batch.from_table

    def counted(spec: object, table: object) -> Batch:
        batch = create(spec, table)  # type: ignore[arg-type]
        alive.append(weakref.ref(batch))
        return batch

    monkeypatch.setattr(Batch, "from_table", staticmethod(counted))
    for rows in (400, 4000):
        folder = tmp_path / str(rows)
        write_split(folder, rows=rows, group=16)
        alive.clear()
        most[rows] = 0
        reader = ParquetReader(toy_spec(), [folder], batch_size=8, shuffle_rows=48)
        for _ in reader.epoch():
            held = [found.size for one in alive if (found := one()) is not None]
            most[rows] = max(most[rows], sum(held))
    assert most[4000] <= 2 * (48 + 16)
    assert most[4000] <= most[400] + 16


def test_the_meter_counts_what_was_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("hemix.models.training.curves.time.monotonic", lambda: now)
    meter = Meter(batch_size=10)

    def slow() -> object:
        nonlocal now
        for _ in range(2):
            now += 3.0
            yield object()

    for _ in meter.waiting(slow()):
        now += 1.0
        meter.add(torch.tensor(0.5), {})
    assert meter.read() == (0.5, 20 / 8, 6 / 8)
    now += 4.0
    with meter.aside():
        now += 100.0
    meter.add(torch.tensor(0.25), {})
    assert meter.read() == (0.25, 10 / 4, 0.0)


def test_a_compiler_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    module, cpu = torch.nn.Linear(1, 1), torch.device("cpu")
    wanted = recipe_of("compact", {"training.compile": "inductor"}).training
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvironmentProblem, match="no-such-compiler"):
        compiled(module, wanted, cpu)
    graphs = recipe_of("compact", {"training.compile": "cuda_graphs"}).training
    with pytest.raises(DefinitionError, match="needs a GPU"):
        compiled(module, graphs, cpu)
    assert compiled(module, recipe_of("compact").training, cpu) is module
