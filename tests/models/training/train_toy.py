"""Train on toy files: ``python -m tests.models.training.train_toy DATA CHECKPOINTS [KILL_AT [KEY=VALUE ...]]``.

With KILL_AT the process kills itself (SIGKILL) right after so many steps of this run.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import torch

from hemix.models.data.batch import Batch
from hemix.models.data.toy import toy_spec
from hemix.models.training.recipes import Recipe, recipe_of
from hemix.models.training.state import Trained
from hemix.models.training.trainer import Trainer

HASTY = {
    "training__learning_rate": "0.1",
    "training__embedding_learning_rate": "0.1",
    "training__ema": "0",
}
"""For :func:`toy_recipe`: rates so high that validation is soon no better."""


def toy_recipe(**overrides: str) -> Recipe:
    """Everything that has a state: dropout, EMA, two epochs, refit, a checkpoint a step."""
    return recipe_of(
        "compact",
        {
            "model.token_width": "8",
            "model.tower": "[8]",
            "model.dropout": "0.1",
            "model.embedding.id_dropout": "0.2",
            "model.embedding.large": "10",
            "training.batch_size": "16",
            "training.epochs": "2",
            "training.evaluations": "2",
            "training.patience": "3",
            "training.ema": "0.9",
            "training.refit": "true",
            "training.shuffle_rows": "40",
            "training.checkpoint_every_s": "0",
            **{key.replace("__", "."): value for key, value in overrides.items()},
        },
    )


def train(data: Path, checkpoints: Path, recipe: Recipe, kill_at: int | None = None) -> Trained:
    trainer = Trainer(recipe, toy_spec(), data / "train", data / "validation", checkpoints)
    if kill_at is not None:
        step, taken = trainer._step, 0

        def deadly(batch: Batch) -> torch.Tensor:
            nonlocal taken
            if taken == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            taken += 1
            return step(batch)

        trainer._step = deadly  # type: ignore[method-assign]
    return trainer.run()


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder, out = Path(sys.argv[1]), Path(sys.argv[2])
    kill = int(sys.argv[3]) if len(sys.argv) > 3 else None
    overrides = dict(text.split("=", 1) for text in sys.argv[4:])
    train(folder, out, toy_recipe(**overrides), kill)
