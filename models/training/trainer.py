"""Training: resumable at any step, and the same weights whether it was interrupted or not."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hemix.errors import DataError, DefinitionError, StorageError
from hemix.files import digest_of
from hemix.models.data.batch import Batch
from hemix.models.data.reader import ParquetReader
from hemix.models.embedding.hashing import collisions
from hemix.models.training import checkpoint
from hemix.models.training.curves import Meter, Phase, Point, ValidationPoint, board
from hemix.models.training.distributed import World
from hemix.models.training.ftrl import Zeros, zeros
from hemix.models.training.optimizers import rate_share
from hemix.models.training.recipes import Recipe
from hemix.models.training.state import State, Trained
from hemix.models.training.train_step import Steps
from hemix.models.training.validation import calibrate, evaluate
from hemix.progress import say
from hemix.spec import FeatureSpec

EVALUATION_ROWS = 4096
POINTS = 50
"""Points of a loss curve."""
SAY_EVERY_S = 5.0
FIELDS_THAT_MAY_CHANGE_ON_RESUME = (
    "processes",
    "nodes",
    "checkpoint_every_s",
    "warm_start",
    "warm_rows",
)
"""Config fields that may differ when training resumes from a checkpoint. Processes change only the rounding of
sums, by design (models/training/distributed.py); what a warm start comes to are the initial weights, which
count by themselves. ``accumulate``, ``fused_lookup``, ``compile`` and ``precision`` are about speed
and memory but round otherwise: the bits would not be those of one training."""


class Trainer:
    """Trains ``recipe`` on the Parquet files of ``train``, stopping early by ``validation``.

    The recipe is trained as it is written: what it leaves to the log
    (``objective.jrc_without_lists``) :func:`hemix.models.training.suited.suited` has settled before.

    A checkpoint of another recipe or of other data (training or validation) is ignored. With a
    ``world`` of several processes each of them runs one trainer and shares every batch
    (:mod:`hemix.models.training.distributed`); any number of processes may resume from a checkpoint.

    Args:
        recipe: the ranker and its training.
        spec: the columns.
        train: folder of the training rows.
        validation: folder of the validation rows.
        folder: keeps the checkpoint and the TensorBoard files.
        world: the processes that train together; None: this one.
        tell: takes a line on how it goes.
        saved: called after each checkpoint.
        validated: called after each validation; may raise to end the training.
        initial: weights to begin with; None: new ones.

    Raises:
        DataError: a folder holds no rows.
        DefinitionError: several processes, and fewer training rows than one batch.
    """

    def __init__(
        self,
        recipe: Recipe,
        spec: FeatureSpec,
        train: Path,
        validation: Path,
        folder: Path,
        *,
        world: World | None = None,
        tell: Callable[[str], None] = say,
        saved: Callable[[], None] = lambda: None,
        validated: Callable[[State], None] = lambda state: None,
        initial: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.recipe, self.spec, self.folder = recipe, spec, folder
        self.initial = initial
        self.config = recipe.training
        self.world = world or World()
        self.device = self.world.device
        self._tell, self._saved, self._validated = tell, saved, validated
        self.said = time.monotonic()
        self.fit_reader = self._reader([train])
        share = (self.world.rank, self.world.size)
        self.validation = ParquetReader(
            spec, [validation], batch_size=EVALUATION_ROWS, share=share, device=self.device
        )
        self.refit_reader = self._reader([train, validation]) if self.config.refit else None
        self.state = State(fingerprint=self._fingerprint())
        self.collisions = collisions(spec, recipe.model.embedding.hashed)
        if not self.world.alone and self.fit_reader.rows < self.config.batch_size:
            raise DefinitionError(
                f"{self.world.size} processes cannot share a batch of {self.config.batch_size}: "
                f"there are {self.fit_reader.rows} training rows.",
                hint="Set training.batch_size lower, or train in one process.",
            )
        if self.device.type == "cpu":
            torch.use_deterministic_algorithms(True)
            # Nothing reads memory before it is written; filling it first costs 3 to 6 % of a step.
            torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]

    def _reader(self, folders: Sequence[Path]) -> ParquetReader:
        c = self.config
        return ParquetReader(
            self.spec,
            folders,
            batch_size=c.batch_size,
            seed=c.seed,
            shuffle_rows=c.shuffle_rows,
            balance_lengths=c.balance_lengths,
            drop_last=True,
            share=(self.world.rank, self.world.size),
            device=self.device,
            keys=c.objective.keys,
            together=c.objective.together,
        )

    def _fingerprint(self) -> str:
        """What a checkpoint must agree with: all that the course of a training depends on."""
        recipe = self.recipe.model_dump(mode="json")
        for name in FIELDS_THAT_MAY_CHANGE_ON_RESUME:
            del recipe["training"][name]
        data = [self.fit_reader.digest(), self.validation.digest()]
        begin = [] if self.initial is None else [checkpoint.digest(self.initial)]
        return digest_of([recipe, self.spec.model_dump(), data, *begin])

    def _say(self, line: str) -> None:
        if self.world.leads:
            self._tell(line)

    # ---- the whole course ---------------------------------------------------------------------

    def run(self) -> Trained:
        """Train to the end, from the checkpoint when there is one.

        Raises:
            DataError: the validation rows have one class only in every task.
            StorageError: a checkpoint cannot be written.
        """
        started = time.monotonic()
        self._begin("fit")
        own = checkpoint.load(self.folder) if self.world.leads else None
        if loaded := self.world.spread(own):
            self._resume(*loaded)
        counts = self.ranker.parameter_counts()
        together = "" if self.world.alone else f" in {self.world.size} processes"
        self._say(
            f"{self.recipe.ranker}: {counts['dense']:,} dense and {counts['embedding']:,} embedding "
            f"parameters; {self.fit_reader.rows:,} training rows; {self.device.type}{together}"
        )
        for name, found in self.collisions.items():
            self._say(f"table {name}: {found.line}")
        curves = self.folder / "tensorboard"
        with board(curves, self.state.step, wanted=self.world.leads) as self.board:
            if self.state.phase == "fit":
                self._steps(self.fit_reader)
                if self.refit_reader is None:
                    self._finish()
                else:
                    self._begin("refit")
            if self.refit_reader is not None and not self.state.done:
                self._steps(self.refit_reader)
                self._finish()
        return self._trained(time.monotonic() - started)

    def finished(self, seconds: float) -> Trained:
        """The training that other processes brought to its end in ``seconds``, from its checkpoint.

        Raises:
            StorageError: the folder's checkpoint is not the end of this training.
        """
        self._begin("fit")
        if loaded := checkpoint.load(self.folder):
            self._resume(*loaded)
        if not self.state.done:
            raise StorageError(f"{self.folder}: holds no finished training of this recipe.")
        return self._trained(seconds)

    def _trained(self, seconds: float) -> Trained:
        best = self.state.best
        assert best is not None
        metrics = {f"validation_{t}_auc": v for t, v in best.auc.items()}
        metrics |= {f"validation_{t}_logloss": v for t, v in best.logloss.items()}
        metrics |= {f"validation_{t}_within_auc": v for t, v in best.within.items()}
        return Trained(
            ranker=self.ranker.eval().cpu(),
            state=self.state,
            steps_per_epoch=self.fit_reader.batches,
            seconds=seconds,
            metrics=metrics,
            collisions=self.collisions,
            zeros=self._zeros(),
        )

    def _zeros(self) -> dict[str, Zeros]:
        """What is 0 of what is trained by an optimiser that takes weights to 0."""
        rows = self.config.embedding_optimizer == "group_ftrl"
        single = self.config.interaction_optimizer == "ftrl"
        return zeros(
            self.ranker.table_weights() if rows else {},
            self.ranker.interaction_weights() if single else {},
        )

    def _begin(self, phase: Phase) -> None:
        """New (or the initial) weights, optimisers and random state; the history stays."""
        torch.manual_seed(self.config.seed)
        self.ranker = self.recipe.build(self.spec).to(self.device)
        if self.initial is not None:
            self._load_weights(self.initial)
        self.ranker.train()
        self.steps = Steps(self.ranker, self.config, self.world)
        self.best: dict[str, Tensor] = {}
        self.state.phase, self.state.step, self.state.done = phase, 0, False
        self.state.without_gain = 0  # a refit has no validations to wait for

    def _finish(self) -> None:
        """Put the weights that are kept into the ranker: the best, or at a refit the last."""
        if self.state.phase == "fit":
            self._load_weights(self.best)
        elif self.steps.average is not None:
            self._load_weights(self.steps.average)
        if self.config.calibration != "none":
            calibrate(self.ranker, self.validation, self.world)
        for name, found in self._zeros().items():
            self._say(f"{name}: {found.line}")
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
        meter = Meter(config.batch_size)
        log_every = max(1, total // POINTS)
        saved = time.monotonic()
        while state.step < last and state.without_gain < config.patience:
            epoch, start = divmod(state.step, per_epoch)
            with contextlib.closing(reader.epoch(epoch, start)) as batches:
                for batch in meter.waiting(batches):
                    self.share = rate_share(
                        (state.step + 1) / (total + 1),
                        config.warmup,
                        config.schedule,
                        cuts=state.cuts(state.step / per_epoch),
                    )
                    self.ranker.set_progress((state.step + 1) / total)
                    meter.add(self._step(batch.to(self.device)), self.steps.told)
                    state.step += 1
                    if state.step % log_every == 0 or state.step == last:
                        self._log(meter, per_epoch, last)
                    with meter.aside():
                        if state.phase == "fit" and state.step in marks:
                            self._validate(per_epoch)
                        if time.monotonic() - saved >= config.checkpoint_every_s:
                            self._save()
                            saved = time.monotonic()
                    if state.step >= last or state.without_gain >= config.patience:
                        break

    def _step(self, batch: Batch) -> Tensor:
        return self.steps.take(batch, self.state.step + 1, self.share)

    def _validate(self, per_epoch: int) -> None:
        state = self.state
        own = self._snapshot_weights()
        if self.steps.average is not None:
            self._load_weights(self.steps.average)
        random = checkpoint.random_tensors()
        measured = evaluate(self.ranker, self.validation, self.world)
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
            state.best, state.without_gain, self.best = point, 0, self._snapshot_weights()
        else:
            state.without_gain += 1
        self._load_weights(own)
        curves = {f"validation/auc_{task}": value for task, value in point.auc.items()}
        curves |= {f"validation/logloss_{task}": value for task, value in point.logloss.items()}
        curves |= {f"validation/within_auc_{task}": value for task, value in point.within.items()}
        self.board.add(state.step, curves)
        texts = [f"{task} AUC {value:.4f}" for task, value in point.auc.items()]
        self._say(f"validation at epoch {point.epoch:.2f}: {', '.join(texts)}")
        self._validated(state)

    def _log(self, meter: Meter, per_epoch: int, last: int) -> None:
        state = self.state
        loss, speed, wait = meter.read()
        loss = self.world.mean(loss)
        terms = {name: self.world.mean(value) for name, value in meter.terms().items()}
        point = Point(
            phase=state.phase,
            step=state.step,
            epoch=state.step / per_epoch,
            loss=loss,
            learning_rate=self.steps.rate,
            samples_per_s=speed,
            reader_wait=wait,
            terms=terms,
        )
        state.curve.append(point)
        curves = {"loss": loss, "samples_per_s": speed, "reader_wait": wait}
        curves |= {f"terms/{name}": value for name, value in terms.items()}
        self.board.add(state.step, {f"{state.phase}/{k}": value for k, value in curves.items()})
        if time.monotonic() - self.said >= SAY_EVERY_S or state.step == last:
            self.said = time.monotonic()
            self._say(
                f"{state.phase} step {state.step}/{last}: loss {loss:.4f}, {speed:,.0f} samples/s, "
                f"{100 * wait:.0f} % of it waiting for rows"
            )

    # ---- weights and checkpoints --------------------------------------------------------------

    def _snapshot_weights(self) -> dict[str, Tensor]:
        return {name: value.detach().clone() for name, value in self.ranker.state_dict().items()}

    @torch.no_grad()
    def _load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Set all parameters, and the buffers that ``weights`` holds."""
        for name, parameter in self.ranker.named_parameters():
            parameter.copy_(weights[name])
        for name, buffer in self.ranker.named_buffers():
            if name in weights:
                buffer.copy_(weights[name])

    def _save(self) -> None:
        if not self.world.leads:
            return
        tensors = {f"model.{k}": v for k, v in self._snapshot_weights().items()}
        tensors |= {f"best.{k}": v for k, v in self.best.items()}
        tensors |= {f"average.{k}": v for k, v in (self.steps.average or {}).items()}
        for name, optimizer in self.steps.optimizers.items():
            tensors |= checkpoint.optimizer_tensors(optimizer, f"optimizer.{name}")
        checkpoint.save(
            self.folder, tensors | checkpoint.random_tensors(), self.state.model_dump(mode="json")
        )
        self._saved()

    def _resume(self, tensors: Mapping[str, Tensor], saved: Mapping[str, Any]) -> None:
        if saved.get("fingerprint") != self.state.fingerprint:
            self._say("The checkpoint is of another training; starting anew.")
            return
        self.state = State.model_validate(saved)

        def part(prefix: str) -> dict[str, Tensor]:
            cut = len(prefix)
            found = {k[cut:]: v for k, v in tensors.items() if k.startswith(prefix)}
            return {k: v.to(self.device) for k, v in found.items()}

        self._load_weights(part("model."))
        self.best = part("best.")
        if self.steps.average is not None:
            self.steps.average = part("average.")
        for name, optimizer in self.steps.optimizers.items():
            checkpoint.restore_optimizer(optimizer, f"optimizer.{name}", tensors)
        checkpoint.restore_random(tensors)
        self._say(f"Going on from step {self.state.step} of the {self.state.phase} phase.")
