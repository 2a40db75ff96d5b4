"""Rows to be judged: as they are, and once more on one state of each user."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from benchmarks.accuracy.data import RunData, Scores
from hemix.models.data.batch import Batch
from hemix.models.data.reader import key_codes
from hemix.models.data.shared_state import earliest, state_of
from hemix.models.rankers.base import Ranker
from hemix.models.versions.inference import predict_batch


@dataclass(frozen=True, kw_only=True)
class Judged:
    """One split of a run: ``users`` and ``requests`` (codes ``[B]``), labels ``[B]`` per task.

    ``history``: rows of each row's user in the training split ``[B]``.
    """

    rows: Batch
    shared: Batch
    users: NDArray[np.int64]
    requests: NDArray[np.int64]
    labels: dict[str, NDArray[np.float64]]
    history: NDArray[np.int64]

    @staticmethod
    def of(data: RunData, split: str) -> Judged:
        """The rows of ``split``; the state of a user is that of the user's first row in it.

        Counters of pairs, and rates of them, are counted again as of that moment.

        Raises:
            DataError: there are such, and the run's examples and events are gone.
        """
        spec = data.spec
        table = pq.read_table(data.transformed / split)
        batch = Batch.from_table(spec, table.drop(["event_time"]))
        view = data.personal_view(split)
        users, requests = (key_codes(table[name]) for name in ("user_id", "request_id"))
        first = earliest(users, key_codes(table["event_time"]))
        trained = key_codes(
            pq.read_table(data.transformed / "train", columns=["user_id"])["user_id"]
        )
        known, counts = torch.unique(trained, return_counts=True)
        at = torch.searchsorted(known, users).clamp(max=len(known) - 1)
        history = torch.where(known[at] == users, counts[at], 0)
        if view is None:
            shared = batch.with_shared({"user": state_of(spec, batch, first)}).on_state("user")
        else:
            shared = Batch.from_table(spec, view(table, 0).drop(["event_time"]))
        return Judged(
            rows=batch,
            shared=shared,
            users=np.unique(users.numpy(), return_inverse=True)[1],
            requests=np.unique(requests.numpy(), return_inverse=True)[1],
            labels={t.name: table[t.column].to_numpy().astype(float) for t in spec.tasks},
            history=history.numpy(),
        )

    @cached_property
    def lists(self) -> bool:
        """Whether requests hold several candidates."""
        return int(self.requests.max()) + 1 < len(self.requests) / 2

    def scores(self, ranker: Ranker) -> Scores:
        """Probabilities ``[B]`` of each task, and on one state under ``<task>/shared``."""
        own, shared = predict_batch(ranker, self.rows), predict_batch(ranker, self.shared)
        return own | {f"{task}/shared": p for task, p in shared.items()}


@dataclass(frozen=True)
class Splits:
    """What a comparison reads: validation chooses, test is looked at once."""

    data: RunData
    folder: Path
    """Keeps finished trainings."""

    @cached_property
    def validation(self) -> Judged:
        return Judged.of(self.data, "validation")

    @cached_property
    def test(self) -> Judged:
        return Judged.of(self.data, "test")
