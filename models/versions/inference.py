"""Scoring: one request with many candidates, or a whole table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch

from hemix.models.data.batch import Batch, Column
from hemix.models.rankers.base import ITEM_SIDES, REQUEST_SIDES, Ranker
from hemix.models.versions.version import ModelVersion, load
from hemix.spec import FeatureSpec


class Scorer:
    """A ranker that answers requests; what the candidates share is computed once per request.

    Example:
        >>> from hemix.models.rankers.hemix.model import HeMix
        >>> from hemix.models.rankers.hemix.config import HeMixConfig
        >>> from hemix.models.data.toy import toy_spec
        >>> scorer = Scorer(HeMix(toy_spec(), HeMixConfig(token_width=8)))
        >>> scorer.spec.tasks[0].name
        'click'
    """

    def __init__(self, ranker: Ranker, version: ModelVersion | None = None) -> None:
        self.ranker = ranker.eval()
        self.version = version

    @staticmethod
    def load(folder: Path) -> Scorer:
        """A scorer of a model version folder.

        Raises:
            ModelVersionError: the folder is not what its manifest says.
        """
        version = load(folder)
        return Scorer(version.ranker, version)

    @property
    def spec(self) -> FeatureSpec:
        return self.ranker.spec

    @torch.inference_mode()
    def encode_request(self, user_columns: Mapping[str, Column]) -> object:
        """What all candidates share; ``user_columns`` holds 1 row of user and context columns.

        Raises:
            DataError: a column is missing.
        """
        request = Batch.from_columns(self.spec, user_columns, REQUEST_SIDES)
        return self.ranker.encode_request(request)

    @torch.inference_mode()
    def score_candidates(
        self, state: object, item_columns: Mapping[str, Column]
    ) -> dict[str, np.ndarray]:
        """Probabilities float32 ``[N]`` per task of the N candidates of ``item_columns``."""
        items = Batch.from_columns(self.spec, item_columns, ITEM_SIDES)
        logits = self.ranker.outputs(self.ranker.score_candidates(state, items))
        return {task: logit.sigmoid().numpy() for task, logit in logits.items()}

    def score(
        self, user_columns: Mapping[str, Column], item_columns: Mapping[str, Column]
    ) -> dict[str, np.ndarray]:
        """Probabilities float32 ``[N]`` per task for one request."""
        return self.score_candidates(self.encode_request(user_columns), item_columns)


@torch.inference_mode()
def predict_batch(ranker: Ranker, batch: Batch, *, rows: int = 4096) -> dict[str, np.ndarray]:
    """Probabilities float32 ``[B]`` per task, in evaluation mode, ``rows`` rows at a time."""
    training = ranker.training
    ranker.eval()
    device = next(ranker.parameters()).device
    parts: dict[str, list[np.ndarray]] = {task.name: [] for task in ranker.spec.tasks}
    for start in range(0, batch.size, rows):
        index = torch.arange(start, min(start + rows, batch.size))
        logits = ranker.outputs(ranker(batch.take(index).to(device)))
        for task, logit in logits.items():
            parts[task].append(logit.float().sigmoid().cpu().numpy())
    ranker.train(training)
    empty = [np.empty(0, np.float32)]
    return {task: np.concatenate(values or empty) for task, values in parts.items()}


def predict_table(
    model: Scorer | Ranker, table: pa.Table, *, rows: int = 4096
) -> dict[str, np.ndarray]:
    """Probabilities float32 ``[rows of the table]`` per task for rows of ``transformed/``."""
    ranker = model.ranker if isinstance(model, Scorer) else model
    parts = [
        predict_batch(
            ranker, Batch.from_table(ranker.spec, table.slice(start, 16 * rows)), rows=rows
        )
        for start in range(0, max(table.num_rows, 1), 16 * rows)
    ]
    return {task: np.concatenate([part[task] for part in parts]) for task in parts[0]}
