"""One process of a training in several: ``torchrun -m hemix.components.train.worker WORK``.

torchrun starts these processes again, all of them, when one dies; they go on from the checkpoint. A
failure with a name (:class:`HemixError`) would come again: it is written beside the checkpoint for
the train step to raise, and the processes end without asking for another attempt.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch.distributed.elastic.multiprocessing.errors import record

from hemix import storage
from hemix.components.process import error_of, error_record, step_process
from hemix.components.train.checkpoints import open_checkpoints
from hemix.components.train.warm import read_weights
from hemix.errors import HemixError, Unforeseen
from hemix.models.training.distributed import joined
from hemix.models.training.recipes import Recipe
from hemix.progress import say
from hemix.spec import FeatureSpec
from hemix.texts.frozen import Frozen
from hemix.unforeseen import told_as


class Work(Frozen):
    """What all processes of a training are told; places are folders or ``s3://`` locations.

    ``attempt``: names this attempt's error and progress files beside the checkpoints. ``initial``:
    the weights to begin with, when they are not new ones.
    """

    recipe: dict[str, Any]
    spec: str
    train: str
    validation: str
    checkpoints: str
    attempt: str
    initial: str = ""

    @property
    def error(self) -> str:
        """Where the error that ended the attempt is written."""
        return storage.join(self.checkpoints, f"error-{self.attempt}.json")

    @property
    def progress(self) -> str:
        """Where the last line of progress is written, for those who are not on this machine."""
        return storage.join(self.checkpoints, f"progress-{self.attempt}.txt")

    def failure(self) -> HemixError | None:
        """The error that ended the attempt, when a process wrote one."""
        data = storage.read_bytes(self.error)
        return None if data is None else error_of(json.loads(data))

    def clear(self) -> None:
        """Remove the attempt's own files."""
        storage.remove(self.error)
        storage.remove(self.progress)


def train(work: Work, *, tell: Callable[[str], None] = say) -> None:
    """Join the other processes and train; an error that is not unforeseen is written, not raised."""
    from hemix.models.training.trainer import Trainer

    if storage.read_bytes(work.error) is not None:
        return
    try:
        recipe = Recipe.parse(work.recipe)
        spec = FeatureSpec.read(storage.local_copy(work.spec))
        training, validation = map(storage.local_copy, (work.train, work.validation))
        with (
            joined() as world,
            open_checkpoints(work.checkpoints, fetch=world.leads) as checkpoints,
        ):
            Trainer(
                recipe,
                spec,
                training,
                validation,
                checkpoints.folder,
                world=world,
                tell=tell,
                saved=checkpoints.keep,
                initial=read_weights(work.initial),
            ).run()
    except Exception as error:
        told = told_as(error)
        if isinstance(told, Unforeseen):
            raise
        storage.write_bytes(work.error, json.dumps(error_record(told)).encode())


def share_cores() -> None:
    """Give each process of this machine its share of the cores, unless the user has decided."""
    import torch

    if "OMP_NUM_THREADS" not in os.environ:
        cores = len(os.sched_getaffinity(0))
        torch.set_num_threads(max(1, cores // int(os.environ["LOCAL_WORLD_SIZE"])))


@record
def main() -> None:
    """Do the work that the first argument describes: JSON, or ``@FILE`` that holds it."""
    text = sys.argv[1]
    work = Work.model_validate_json(Path(text[1:]).read_text() if text.startswith("@") else text)

    def tell(line: str) -> None:
        say(line)
        storage.write_bytes(work.progress, line.encode())

    with step_process():
        share_cores()
        train(work, tell=tell)


if __name__ == "__main__":
    main()
