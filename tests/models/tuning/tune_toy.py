"""Tune on toy files: ``python -m tests.models.tuning.tune_toy DATA STUDY TRIALS [KILL_AT]``.

With KILL_AT the process kills itself (SIGKILL) right after so many validations of this run.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import torch

from hemix.models.data.toy import toy_spec
from hemix.models.search_space import Choice, Domain, Range
from hemix.models.training.recipes import Recipe, recipe_of
from hemix.models.training.trainer import Trainer
from hemix.models.tuning.study import StudyFolder, StudySettings
from hemix.models.tuning.tune import Rows, tune

SPACE: dict[str, Domain] = {
    "training.learning_rate": Range(low=1e-4, high=3e-2, log=True),
    "model.blocks": Range(low=1, high=2),
    "model.tower": Choice(choices=([8], [8, 4])),
    "model.token_norm": Choice(choices=(False, True)),
}


def base() -> Recipe:
    return recipe_of(
        "compact",
        {
            "model.token_width": "8",
            "model.tower": "[8]",
            "training.batch_size": "32",
            "training.checkpoint_every_s": "0",
        },
    )


def rows_in(data: Path) -> Rows:
    return Rows(spec=toy_spec(), train=data / "train", validation=data / "validation")


def study_in(root: Path, data: Path, **settings: Any) -> StudyFolder:
    space = settings.pop("space", SPACE)
    return StudyFolder(root, StudySettings.of(base(), space, data=rows_in(data).digest, **settings))


if __name__ == "__main__":
    torch.set_num_threads(1)
    data, root, trials = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    if len(sys.argv) > 4:
        validate, left = Trainer._validate, int(sys.argv[4])

        def deadly(self: Trainer, per_epoch: int) -> None:
            global left
            validate(self, per_epoch)
            self._save()
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        Trainer._validate = deadly  # type: ignore[method-assign]
    tune(study_in(root, data), rows_in(data), trials=trials)
