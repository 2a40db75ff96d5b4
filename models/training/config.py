"""How a ranker is trained: the typed configuration (docs/training.md says what to choose when)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from hemix.models.training.losses import GivenLoss
from hemix.models.training.outputs import Calibration, ordered
from hemix.models.tuning.early_stopping import Range, Space

Schedule = Literal["linear", "cosine", "constant"]


class TrainingConfig(BaseModel):
    """How a ranker is trained.

    ``learning_rate`` is AdamW's for dense parameters, ``embedding_learning_rate`` that of the
    tables (AdamW with decoupled decay; Adagrad or its row-wise form, which also take sparse
    gradients). The rate rises over ``warmup`` (a share of all steps) and falls to 0 by ``schedule``.
    ``clip_norm`` bounds the norm of the dense gradient. ``ema`` > 0 evaluates and keeps an average
    of the weights.
    Validation runs ``evaluations`` times an epoch; training stops after ``patience`` of them
    without a better mean AUC, and the best weights are kept. ``refit`` then trains once more, from
    new weights, on training and validation rows together for the steps an epoch that were best.
    ``given``: task -> the task within which it is learnt, e.g. ``{conversion: click}``, and
    ``given_loss`` how (models/training/losses.py). ``calibration``: of the served scores, fitted to the
    validation rows (models/training/outputs.py).
    ``shuffle_rows`` is how many rows are shuffled together: the reader's memory; with
    ``balance_lengths`` the batches of such a block hold rows of similar length.
    ``batch_size`` is the batch of all processes together: ``processes`` on each of ``nodes``
    machines share every batch (models/training/distributed.py), and each works its share off in
    ``accumulate`` parts. ``fused_lookup``: one look-up for all columns of a batch
    (models/embedding/lookup.py). ``compile``: the forward and backward pass through torch's compiler, on a
    GPU also as CUDA graphs where shapes are the same in every batch (models/training/train_step.py).
    ``warm_start``: begin with the weights of a model version (models/training/warm_start.py): ``champion``,
    or the path or location of its folder; empty for new weights. ``warm_rows``: what ids that the
    version did not know begin with, its row of the unknown id or a fresh one.
    ``search``: what ``hemix tune`` tries unless told otherwise.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    search: ClassVar[Space] = {
        "learning_rate": Range(low=1e-4, high=1e-2, log=True),
        "embedding_learning_rate": Range(low=3e-4, high=5e-2, log=True),
        "weight_decay": Range(low=1e-3, high=0.3, log=True),
        "warmup": Range(low=0.0, high=0.3),
    }

    seed: int = 0
    batch_size: int = Field(default=512, ge=1)
    epochs: int = Field(default=1, ge=1)
    learning_rate: float = Field(default=1e-3, gt=0)
    embedding_learning_rate: float = Field(default=1e-3, gt=0)
    embedding_optimizer: Literal["adamw", "adagrad", "rowwise_adagrad"] = "adamw"
    weight_decay: float = Field(default=0.01, ge=0)
    embedding_weight_decay: float = Field(default=0.0, ge=0)
    warmup: float = Field(default=0.1, ge=0, le=1)
    schedule: Schedule = "linear"
    clip_norm: float = Field(default=1.0, gt=0)
    ema: float = Field(default=0.0, ge=0, lt=1)
    evaluations: int = Field(default=2, ge=1)
    patience: int = Field(default=3, ge=1)
    refit: bool = False
    task_weights: dict[str, float] = {}
    given: dict[str, str] = {}
    given_loss: GivenLoss = "masked"
    calibration: Calibration = "none"
    precision: Literal["float32", "bfloat16"] = "float32"
    shuffle_rows: int = Field(default=131_072, ge=1)
    balance_lengths: bool = False
    accumulate: int = Field(default=1, ge=1)
    fused_lookup: bool = True
    compile: Literal["none", "inductor", "cuda_graphs"] = "none"
    checkpoint_every_s: float = Field(default=20.0, ge=0)
    processes: int = Field(default=1, ge=1)
    nodes: int = Field(default=1, ge=1)
    warm_start: str = ""
    warm_rows: Literal["unknown", "fresh"] = "unknown"

    @property
    def world(self) -> int:
        """How many processes train together."""
        return self.processes * self.nodes

    @model_validator(mode="after")
    def _equal_shares(self) -> TrainingConfig:
        if self.batch_size % self.world:
            raise ValueError(
                f"batch_size {self.batch_size} is not a multiple of the {self.world} processes"
            )
        if self.batch_size % (self.world * self.accumulate):
            raise ValueError(
                f"batch_size {self.batch_size} does not come apart into accumulate "
                f"{self.accumulate} equal parts in each of {self.world} processes"
            )
        if self.accumulate > 1 and self.compile == "cuda_graphs":
            raise ValueError(
                "compile=cuda_graphs overwrites the gradient of one part with that of the next: "
                "set accumulate=1, or compile=inductor"
            )
        return self

    @model_validator(mode="after")
    def _unseen_rows(self) -> TrainingConfig:
        if self.refit and self.calibration != "none":
            raise ValueError("calibration needs rows that were not trained on: set refit=false")
        return self

    @model_validator(mode="before")
    @classmethod
    def _circles(cls, value: object) -> object:
        """``given`` in the order in which its tasks can be worked out."""
        if isinstance(value, dict) and isinstance(value.get("given"), dict):
            return {**value, "given": ordered(value["given"])}
        return value
