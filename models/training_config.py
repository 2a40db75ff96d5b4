"""How a ranker is trained: the typed configuration (docs/training.md says what to choose when)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from hemix.models.ftrl_config import FTRLConfig, GroupFTRLConfig
from hemix.models.layers.task_outputs import Calibration, ordered
from hemix.models.objective_config import ObjectiveConfig
from hemix.models.search_space import Range, Space
from hemix.texts.frozen import Frozen

GivenLoss = Literal["masked", "esmm"]
Schedule = Literal["linear", "cosine", "constant", "plateau"]


class TrainingConfig(Frozen):
    """How a ranker is trained (docs/training.md says what to choose when).

    ``search`` says what ``hemix tune`` tries by default.
    """

    search: ClassVar[Space] = {
        "learning_rate": Range(low=1e-4, high=1e-2, log=True),
        "embedding_learning_rate": Range(low=3e-4, high=5e-2, log=True),
        "weight_decay": Range(low=1e-3, high=0.3, log=True),
        "warmup": Range(low=0.0, high=0.3),
    }

    seed: int = 0
    """Seed of the initial weights, of dropout and of the order of rows."""
    batch_size: int = Field(default=512, ge=1)
    """Rows per step, summed over all processes."""
    epochs: int = Field(default=1, ge=1)
    """Passes over the training rows."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Full learning rate of the dense parameters (AdamW)."""
    embedding_learning_rate: float = Field(default=1e-3, gt=0)
    """Full learning rate of the embedding tables."""
    embedding_optimizer: Literal["adamw", "adam", "adagrad", "rowwise_adagrad", "group_ftrl"] = (
        "adamw"
    )
    """Optimizer of the tables; adagrad, rowwise_adagrad and group_ftrl also take sparse gradients.
    adam has its weight decay in the gradient (L2), as published interaction models are trained;
    group_ftrl takes rows that do not help to 0."""
    group_ftrl: GroupFTRLConfig = GroupFTRLConfig()
    """Used when `embedding_optimizer` is group_ftrl."""
    interaction_optimizer: Literal["adamw", "ftrl"] = "adamw"
    """Optimizer of the ranker's interaction weights; ftrl takes single weights that do not help to
    0."""
    ftrl: FTRLConfig = FTRLConfig()
    """Used when `interaction_optimizer` is ftrl."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay of dense matrices; biases and gains have none."""
    embedding_weight_decay: float = Field(default=0.0, ge=0)
    """Weight decay of the tables; decoupled with adamw, else L2 in the gradient."""
    warmup: float = Field(default=0.1, ge=0, le=1)
    """Share of all steps during which the learning rates rise from 0."""
    schedule: Schedule = "linear"
    """How the learning rates fall to 0 after the warm-up; constant: not at all; plateau: to a tenth at
    each validation without a better mean AUC."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the dense gradient; a larger one is scaled down to it."""
    ema: float = Field(default=0.0, ge=0, lt=1)
    """Decay of a moving average of the weights, which is evaluated and kept in their place; 0:
    none."""
    evaluations: int = Field(default=2, ge=1)
    """Validations per epoch."""
    patience: int = Field(default=3, ge=1)
    """Training stops after this many validations without a better mean AUC; the best weights are
    kept."""
    refit: bool = False
    """Train once more, from new weights, on training and validation rows together, for the best
    number of steps per epoch."""
    objective: ObjectiveConfig = ObjectiveConfig()
    """What is minimised: a weighted sum of terms, log loss alone unless the recipe says otherwise."""
    task_weights: dict[str, float] = Field(default={})
    """Task -> weight of its loss in the sum; 1 where it is not given."""
    given: dict[str, str] = Field(default={})
    """Task -> the task within which it is learnt, such as {conversion: click}."""
    given_loss: GivenLoss = "masked"
    """How a task within another is learnt: from rows where the other happened (masked), or from all
    rows through the product of both probabilities (esmm)."""
    calibration: Calibration = "none"
    """What is fitted to the validation rows at the end, per task, on the served logit: a scale
    (temperature), or a scale and a shift (platt)."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Number type of matrix products; weights and sums stay float32."""
    shuffle_rows: int = Field(default=131_072, ge=1)
    """Rows that are shuffled together, which is what the reader holds in memory."""
    balance_lengths: bool = False
    """Batch rows of similar history length together, for rankers that pad."""
    accumulate: int = Field(default=1, ge=1)
    """Gradient accumulation: parts into which each process splits its share of a batch."""
    fused_lookup: bool = True
    """One embedding look-up for all columns of a batch."""
    compile: Literal["none", "inductor", "cuda_graphs"] = "none"
    """Run the forward and backward pass through torch's compiler; cuda_graphs: on a GPU, also as
    CUDA graphs."""
    checkpoint_every_s: float = Field(default=20.0, ge=0)
    """Seconds between two checkpoints."""
    processes: int = Field(default=1, ge=1)
    """Processes per machine that share every batch."""
    nodes: int = Field(default=1, ge=1)
    """Machines that share every batch."""
    warm_start: str = ""
    """Version whose weights the training begins with: champion, or the path or location of its
    folder; empty: new weights."""
    warm_rows: Literal["unknown", "fresh"] = "unknown"
    """What ids begin with that the warm start's version did not know: its row of the unknown id, or
    a fresh one."""

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
    def _zeros_stay(self) -> TrainingConfig:
        rows = self.embedding_optimizer == "group_ftrl"
        if self.ema and (rows or self.interaction_optimizer == "ftrl"):
            raise ValueError(
                "ema keeps an average of the weights, in which what group_ftrl or ftrl took to 0 is "
                "not 0: set ema=0"
            )
        if self.embedding_weight_decay and rows:
            raise ValueError(
                "embedding_weight_decay is not part of group_ftrl: set group_ftrl.l2 in its place"
            )
        return self

    @model_validator(mode="after")
    def _comparing(self) -> TrainingConfig:
        if self.objective.together and self.balance_lengths:
            raise ValueError(
                f"balance_lengths sorts rows by their length, and the objective needs the rows of a "
                f"{self.objective.together} together: set balance_lengths=false"
            )
        if self.objective.compares and self.compile == "cuda_graphs":
            raise ValueError(
                "compile=cuda_graphs overwrites the scores of one pass with those of the next, and "
                "the objective compares both: set compile=inductor or none"
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
