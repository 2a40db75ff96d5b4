"""Scores of a validation split while a ranker trains: metrics, and calibration at its end."""

from __future__ import annotations

import contextlib
from itertools import zip_longest

import numpy as np
import torch
from torch import Tensor

from hemix.models.data.reader import ParquetReader
from hemix.models.metrics.pointwise import auc, logloss
from hemix.models.rankers.base import Ranker
from hemix.models.training.distributed import World

Measured = dict[str, dict[str, float]]


def evaluate(ranker: Ranker, reader: ParquetReader, world: World | None = None) -> Measured:
    """``auc`` and ``logloss`` per task over all rows of ``reader``; AUC is NaN with one class only.

    Scores are those that would be served, of every impression. ``within``: for a task given another,
    the AUC of its own probability over the rows where that other's label is 1.
    The processes of ``world`` score a share of each batch and all get the same numbers.
    """
    logits, labels = score(ranker, reader, world or World())
    served = {task: logit.sigmoid().numpy() for task, logit in ranker.outputs(logits).items()}
    known = {task: label.numpy() for task, label in labels.items()}
    within = {}
    for task, parent in ranker.outputs.given.items():
        rows = known[parent] > 0
        # Of logits: the quotient of two served float32 probabilities orders near ones by rounding.
        within[task] = float(auc(known[task][rows], logits[task].numpy()[rows]))
    return {
        "auc": {t: float(auc(known[t], p)) for t, p in served.items()},
        "logloss": {t: float(logloss(known[t], p)) for t, p in served.items()},
        "within": within,
    }


def calibrate(ranker: Ranker, reader: ParquetReader, world: World) -> None:
    """Fit the ranker's calibration to the rows of ``reader``; every process gets the same."""
    outputs = ranker.outputs.cpu()
    outputs.fit(*score(ranker, reader, world))
    outputs.to(world.device)


def score(
    ranker: Ranker, reader: ParquetReader, world: World
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Logits of the towers and labels, float32 ``[rows]`` per task, in memory."""
    training = ranker.training
    ranker.eval()
    scored: list[dict[str, np.ndarray]] = []
    with torch.no_grad(), contextlib.closing(reader.epoch()) as batches:
        for batch in batches:
            logits = ranker(batch.to(world.device))
            scored.append(
                {task: logit.float().cpu().numpy() for task, logit in logits.items()}
                | {f"label_{task}": label.numpy() for task, label in batch.labels.items()}
            )
    ranker.train(training)
    # A batch of fewer rows than processes leaves some without a share.
    shares = zip_longest(*world.gather(scored), fillvalue=None)
    parts = [part for batch_parts in shares for part in batch_parts if part is not None]

    def whole(prefix: str) -> dict[str, Tensor]:
        return {
            task.name: torch.from_numpy(np.concatenate([p[prefix + task.name] for p in parts]))
            for task in reader.spec.tasks
        }

    return whole(""), whole("label_")
