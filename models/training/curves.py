"""Loss and validation curves, and where they go while a training runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

Phase = Literal["fit", "refit"]
T = TypeVar("T")


class Point(BaseModel):
    """A point of the loss curve: the mean over the steps since the last point.

    ``reader_wait``: the share of that time in which the trainer waited for the reader. ``terms``: each
    term of the objective by name, before its weight, and by ``rows/...`` or ``..._rows/...`` the share
    of the rows that lie in groups with both labels.
    """

    phase: Phase
    step: int
    epoch: float
    loss: float
    learning_rate: float
    samples_per_s: float
    reader_wait: float = 0.0
    terms: dict[str, float] = {}


class ValidationPoint(BaseModel):
    """A point of the validation curves: AUC and logloss a task, over all impressions.

    ``within``: of a task given another, the AUC over the rows where that other's label is 1.
    """

    step: int
    epoch: float
    auc: dict[str, float]
    logloss: dict[str, float]
    within: dict[str, float] = {}

    @property
    def score(self) -> float:
        """What early stopping maximises: the mean AUC of the tasks that have both classes."""
        known = [value for value in self.auc.values() if np.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")


class Meter:
    """Mean loss, samples per second and the share of time waited for rows, since the last reading."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._losses: list[Tensor] = []
        self._terms: dict[str, list[Tensor]] = {}
        self._since = time.monotonic()
        self._waited = 0.0

    def add(self, loss: Tensor, terms: Mapping[str, Tensor]) -> None:
        self._losses.append(loss)
        for name, value in terms.items():
            self._terms.setdefault(name, []).append(value)

    def waiting(self, items: Iterable[T]) -> Iterator[T]:
        """Yield ``items``; the time until each is there counts as waited."""
        before = time.monotonic()
        for item in items:
            self._waited += time.monotonic() - before
            yield item
            before = time.monotonic()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """What is done inside does not count: validation, checkpoints."""
        before = time.monotonic()
        yield
        self._since += time.monotonic() - before

    def terms(self) -> dict[str, float]:
        """The mean of each term over the steps that had it, since the last time; by name."""
        means = {name: float(torch.stack(found).mean()) for name, found in self._terms.items()}
        self._terms = {}
        return means

    def read(self) -> tuple[float, float, float]:
        now = time.monotonic()
        loss = float(torch.stack(self._losses).mean())
        seconds = max(now - self._since, 1e-9)
        speed = len(self._losses) * self.batch_size / seconds
        wait = min(self._waited / seconds, 1.0)
        self._losses, self._since, self._waited = [], now, 0.0
        return loss, speed, wait


class Board:
    """TensorBoard's curves of one training; without a writer it keeps nothing."""

    def __init__(self, writer: Any = None) -> None:
        self._writer = writer

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each of the named curves."""
        if self._writer is not None:
            for name, value in values.items():
                self._writer.add_scalar(name, value, step)


@contextmanager
def board(folder: Path, step: int, *, wanted: bool = True) -> Iterator[Board]:
    """A board that writes below ``folder``; what an earlier attempt wrote after ``step`` is void."""
    if not wanted:
        yield Board()
        return
    # TensorBoard's own switch: without it the writer imports the whole of tensorflow.
    sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter(str(folder), purge_step=step)
    try:
        yield Board(writer)
    finally:
        writer.close()
