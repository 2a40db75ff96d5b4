"""Training: resumable at any step, and the same weights whether it was interrupted or not."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from pydantic import BaseModel
from torch import Tensor

from hemix.errors import DataError
from hemix.files import digest_of
from hemix.progress import say
from hemix.spec import FeatureSpec
from models import checkpoint
from models.losses import multi_task_bce
from models.metrics import auc, logloss
from models.optimizers import make_optimizers, rate_share, set_rates
from models.ranker import Ranker
from models.reader import ParquetReader
from models.recipes import Recipe
from models.registry import build

Phase = Literal["fit", "refit"]
EVALUATION_ROWS = 4096
POINTS = 50
"""Points of a loss curve."""
SAY_EVERY_S = 5.0


class Point(BaseModel):
    """A point of the loss curve: the mean over the steps since the last point."""

    phase: Phase
    step: int
    epoch: float
    loss: float
    learning_rate: float
    samples_per_s: float


class ValidationPoint(BaseModel):
    """A point of the validation curves: AUC and logloss a task."""

    step: int
    epoch: float
    auc: dict[str, float]
    logloss: dict[str, float]

    @property
    def score(self) -> float:
        """What early stopping maximises: the mean AUC of the tasks that have both classes."""
        known = [value for value in self.auc.values() if np.isfinite(value)]
        return float(np.mean(known)) if known else float("nan")


class State(BaseModel):
    """Where a training stands; with the tensors of a checkpoint it is all that a resume needs."""

    fingerprint: str
    phase: Phase = "fit"
    step: int = 0
    done: bool = False
    without_gain: int = 0
    best: ValidationPoint | None = None
    curve: list[Point] = []
    validation: list[ValidationPoint] = []


@dataclass(kw_only=True)
class Trained:
    """A trained ranker, its curves and the metrics of its best validation point."""

    ranker: Ranker
    state: State
    steps_per_epoch: int
    seconds: float
    metrics: dict[str, float] = field(default_factory=dict)


def pick_device() -> torch.device:
    """CUDA when there is a GPU, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def evaluate(
    ranker: Ranker, reader: ParquetReader, device: torch.device
) -> dict[str, dict[str, float]]:
    """``auc`` and ``logloss`` a task over all rows of ``reader``; AUC is NaN with one class only."""
    ranker.eval()
    scores: dict[str, list[np.ndarray]] = {task.name: [] for task in reader.spec.tasks}
    labels: dict[str, list[np.ndarray]] = {task.name: [] for task in reader.spec.tasks}
    with torch.no_grad(), contextlib.closing(reader.epoch()) as batches:
        for batch in batches:
            for task, logit in ranker(batch.to(device)).items():
                scores[task].append(logit.float().sigmoid().cpu().numpy())
                labels[task].append(batch.labels[task].numpy())
    ranker.train()
    joined = {t: (np.concatenate(labels[t]), np.concatenate(scores[t])) for t in scores}
    return {
        "auc": {t: float(auc(*pair)) for t, pair in joined.items()},
        "logloss": {t: float(logloss(*pair)) for t, pair in joined.items()},
    }


class Trainer:
    """Trains ``recipe`` on the Parquet files of ``train``, stopping early by ``validation``.

    ``folder`` keeps the checkpoint and the TensorBoard files. A checkpoint of another recipe or of
    other data is ignored.
    """

    def __init__(
        self, recipe: Recipe, spec: FeatureSpec, train: Path, validation: Path, folder: Path
    ) -> None:
        self.recipe, self.spec, self.folder = recipe, spec, folder
        self.config = recipe.training
        self.said = time.monotonic()
        self.device = pick_device()
        self.fit_reader = self._reader([train])
        self.validation = ParquetReader(spec, [validation], batch_size=EVALUATION_ROWS)
        self.refit_reader = self._reader([train, validation]) if self.config.refit else None
        rows = [(str(g.path.name), g.index, g.rows) for g in self.fit_reader.groups]
        self.state = State(
            fingerprint=digest_of([recipe.model_dump(mode="json"), spec.model_dump(), rows])
        )
        if self.device.type == "cpu":
            torch.use_deterministic_algorithms(True)

    def _reader(self, folders: Sequence[Path]) -> ParquetReader:
        c = self.config
        return ParquetReader(
            self.spec,
            folders,
            batch_size=c.batch_size,
            seed=c.seed,
            shuffle_rows=c.shuffle_rows,
            drop_last=True,
        )

    # ---- the whole course ---------------------------------------------------------------------

    def run(self) -> Trained:
        """Train to the end, from the checkpoint when there is one.

        Raises:
            DataError: the validation rows have one class only in every task.
            StorageError: a checkpoint cannot be written.
        """
        started = time.monotonic()
        self._begin("fit")
        if loaded := checkpoint.load(self.folder):
            self._resume(*loaded)
        counts = self.ranker.parameter_counts()
        say(
            f"{self.recipe.ranker}: {counts['dense']:,} dense and {counts['embedding']:,} embedding "
            f"parameters; {self.fit_reader.rows:,} training rows; {self.device.type}"
        )
        with contextlib.closing(self._writer()) as self.writer:
            if self.state.phase == "fit":
                self._steps(self.fit_reader)
                if self.refit_reader is None:
                    self._finish()
                else:
                    self._begin("refit")
            if self.refit_reader is not None and not self.state.done:
                self._steps(self.refit_reader)
                self._finish()
        best = self.state.best
        assert best is not None
        metrics = {f"validation_{t}_auc": v for t, v in best.auc.items()}
        metrics |= {f"validation_{t}_logloss": v for t, v in best.logloss.items()}
        return Trained(
            ranker=self.ranker.eval().cpu(),
            state=self.state,
            steps_per_epoch=self.fit_reader.batches,
            seconds=time.monotonic() - started,
            metrics=metrics,
        )

    def _begin(self, phase: Phase) -> None:
        """New weights, optimisers and random state; the history stays."""
        torch.manual_seed(self.config.seed)
        self.ranker = build(self.recipe.ranker, self.spec, self.recipe.model).to(self.device)
        self.ranker.train()
        self.optimizers = make_optimizers(self.ranker, self.config)
        self.average = self._copy() if self.config.ema else None
        self.best: dict[str, Tensor] = {}
        self.state.phase, self.state.step, self.state.done = phase, 0, False

    def _finish(self) -> None:
        """Put the weights that are kept into the ranker: the best, or at a refit the last."""
        if self.state.phase == "fit":
            self._paste(self.best)
        elif self.average is not None:
            self._paste(self.average)
        self.state.done = True
        self._save()

    # ---- steps --------------------------------------------------------------------------------

    def _steps(self, reader: ParquetReader) -> None:
        config, state, per_epoch = self.config, self.state, reader.batches
        total = per_epoch * config.epochs
        last = total
        if state.phase == "refit":
            assert state.best is not None
            last = max(1, round(state.best.epoch * per_epoch))
        marks = {
            max(1, round(per_epoch * k / config.evaluations))
            for k in range(1, config.epochs * config.evaluations + 1)
        }
        meter = _Meter(config.batch_size)
        log_every = max(1, total // POINTS)
        saved = time.monotonic()
        while state.step < last and state.without_gain < config.patience:
            epoch, start = divmod(state.step, per_epoch)
            with contextlib.closing(reader.epoch(epoch, start)) as batches:
                for batch in batches:
                    share = rate_share((state.step + 1) / (total + 1), config.warmup)
                    set_rates(self.optimizers, config, share)
                    meter.add(self._step(batch.to(self.device)))
                    state.step += 1
                    if state.step % log_every == 0 or state.step == last:
                        self._log(meter, per_epoch, last)
                    if state.phase == "fit" and state.step in marks:
                        self._validate(per_epoch)
                    if time.monotonic() - saved >= config.checkpoint_every_s:
                        self._save()
                        saved = time.monotonic()
                    if state.step >= last or state.without_gain >= config.patience:
                        break

    def _step(self, batch: Any) -> Tensor:
        with torch.autocast(
            self.device.type,
            dtype=torch.bfloat16,
            enabled=self.config.precision == "bfloat16",
        ):
            logits = self.ranker(batch)
        loss = multi_task_bce(logits, batch.labels, self.config.task_weights)
        for optimizer in self.optimizers.values():
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.ranker.dense_parameters(), self.config.clip_norm)
        for optimizer in self.optimizers.values():
            optimizer.step()
        if self.average is not None:
            # Early steps count less of the past, else the first random weights linger.
            step = self.state.step + 1
            keep = min(self.config.ema, (1 + step) / (10 + step))
            for name, value in self.ranker.named_parameters():
                self.average[name].lerp_(value.detach(), 1 - keep)
        return loss.detach()

    def _validate(self, per_epoch: int) -> None:
        state = self.state
        own = self._copy()
        if self.average is not None:
            self._paste(self.average)
        random = checkpoint.random_tensors()
        measured = evaluate(self.ranker, self.validation, self.device)
        checkpoint.restore_random(random)
        point = ValidationPoint(step=state.step, epoch=state.step / per_epoch, **measured)
        if np.isnan(point.score):
            raise DataError(
                "The validation rows have only one class in every task, so training cannot be "
                "judged.",
                hint="Widen split.validation in the definition.",
            )
        state.validation.append(point)
        if state.best is None or point.score > state.best.score:
            state.best, state.without_gain, self.best = point, 0, self._copy()
        else:
            state.without_gain += 1
        self._paste(own)
        for task, value in point.auc.items():
            self.writer.add_scalar(f"validation/auc_{task}", value, state.step)
            self.writer.add_scalar(f"validation/logloss_{task}", point.logloss[task], state.step)
        texts = [f"{task} AUC {value:.4f}" for task, value in point.auc.items()]
        say(f"validation at epoch {point.epoch:.2f}: {', '.join(texts)}")

    def _log(self, meter: _Meter, per_epoch: int, last: int) -> None:
        state = self.state
        loss, speed = meter.read()
        point = Point(
            phase=state.phase,
            step=state.step,
            epoch=state.step / per_epoch,
            loss=loss,
            learning_rate=self.optimizers["dense"].param_groups[0]["lr"],
            samples_per_s=speed,
        )
        state.curve.append(point)
        self.writer.add_scalar(f"{state.phase}/loss", loss, state.step)
        self.writer.add_scalar(f"{state.phase}/samples_per_s", speed, state.step)
        if time.monotonic() - self.said >= SAY_EVERY_S or state.step == last:
            self.said = time.monotonic()
            say(f"{state.phase} step {state.step}/{last}: loss {loss:.4f}, {speed:,.0f} samples/s")

    # ---- weights and checkpoints --------------------------------------------------------------

    def _copy(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.ranker.named_parameters()}

    @torch.no_grad()
    def _paste(self, weights: Mapping[str, Tensor]) -> None:
        for name, parameter in self.ranker.named_parameters():
            parameter.copy_(weights[name])

    def _save(self) -> None:
        tensors = {f"model.{k}": v for k, v in self._copy().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        tensors |= {f"average.{k}": v for k, v in (self.average or {}).items()}
        for name, optimizer in self.optimizers.items():
            tensors |= checkpoint.optimizer_tensors(optimizer, f"optimizer.{name}")
        checkpoint.save(
            self.folder, tensors | checkpoint.random_tensors(), self.state.model_dump(mode="json")
        )

    def _resume(self, tensors: Mapping[str, Tensor], saved: Mapping[str, Any]) -> None:
        if saved.get("fingerprint") != self.state.fingerprint:
            say("The checkpoint is of another training; starting anew.")
            return
        self.state = State.model_validate(saved)

        def part(prefix: str) -> dict[str, Tensor]:
            cut = len(prefix)
            found = {k[cut:]: v for k, v in tensors.items() if k.startswith(prefix)}
            return {k: v.to(self.device) for k, v in found.items()}

        self._paste(part("model."))
        self.best = part("best.")
        if self.average is not None:
            self.average = part("average.")
        for name, optimizer in self.optimizers.items():
            checkpoint.restore_optimizer(optimizer, f"optimizer.{name}", tensors)
        checkpoint.restore_random(tensors)
        say(f"Going on from step {self.state.step} of the {self.state.phase} phase.")

    def _writer(self) -> Any:
        # TensorBoard's own switch: without it the writer imports the whole of tensorflow.
        sys.modules.setdefault("tensorboard.compat.notf", ModuleType("tensorboard.compat.notf"))
        from torch.utils.tensorboard import SummaryWriter

        return SummaryWriter(str(self.folder / "tensorboard"), purge_step=self.state.step)


class _Meter:
    """Mean loss and samples a second since the last reading."""

    def __init__(self, batch_size: int) -> None:
        self.batch_size = batch_size
        self._losses: list[Tensor] = []
        self._since = time.monotonic()

    def add(self, loss: Tensor) -> None:
        self._losses.append(loss)

    def read(self) -> tuple[float, float]:
        now = time.monotonic()
        loss = float(torch.stack(self._losses).mean())
        speed = len(self._losses) * self.batch_size / max(now - self._since, 1e-9)
        self._losses, self._since = [], now
        return loss, speed
