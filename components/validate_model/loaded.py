"""Checks on the loaded model itself: is it fast enough, and does it say what it said before?"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hemix.components.evaluate.results import CANDIDATE, PREDICTIONS_FILE, prediction_column
from hemix.components.evaluate.scoring import served_rows
from hemix.components.evaluate.tables import split_dataset
from hemix.components.validate_model.policy import LATENCY, LatencyPolicy, ParityPolicy
from hemix.spec import FeatureSpec
from hemix.verdict import Check

if TYPE_CHECKING:
    from hemix.models.versions.inference import Scorer

Column = NDArray[np.generic] | tuple[NDArray[np.generic], NDArray[np.int64]]
EXPORT = "export parity"
WARM_UP = 10
ROUNDS = 3
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Transformed rows as serving hands them over: user and context columns, item columns."""

    spec: FeatureSpec
    table: pa.Table

    @staticmethod
    def head(model: Path, transformed: Path, rows: int) -> Rows:
        """The first ``rows`` rows of the test split, as they are served."""
        table = served_rows(model)(split_dataset(transformed, "test").head(rows))
        return Rows(spec=FeatureSpec.read(model / "transform" / "spec.json"), table=table)

    def user(self, row: int) -> dict[str, Column]:
        """User and context columns of one row."""
        part = self.table.slice(row, 1)
        names = [name for side in ("user", "context") for name in _flat(self.spec, side)]
        columns = {name: _column(part[name]) for name in names}
        for sequence in self.spec.sequences:
            columns |= {c.column: _column(part[c.column]) for c in sequence.columns}
        return columns

    def items(self, rows: NDArray[np.int64]) -> dict[str, Column]:
        """Item columns of the given rows."""
        return {name: _column(self.table[name].take(rows)) for name in _flat(self.spec, "item")}


def _flat(spec: FeatureSpec, side: str) -> list[str]:
    return [
        *(c.name for c in spec.categorical if c.side == side),
        *(name for n in spec.numeric if n.side == side for name in (n.name, n.bucket)),
    ]


def _column(column: pa.ChunkedArray) -> Column:
    array = column.combine_chunks()
    if pa.types.is_list(array.type):
        offsets = array.offsets.to_numpy().astype(np.int64)
        return array.flatten().to_numpy(zero_copy_only=False), offsets - offsets[0]
    return array.to_numpy(zero_copy_only=False)


def latency_check(scorer: Scorer, rows: Rows, policy: LatencyPolicy) -> list[Check]:
    """p99 of ``Scorer.score`` on real rows, one request at a time on one thread.

    The other work of a busy machine is not the model's: of up to :data:`ROUNDS` rounds the fastest
    counts, and the first that is fast enough ends them.
    """
    random = np.random.default_rng(SEED)
    size = rows.table.num_rows
    requests = [
        (
            rows.user(int(random.integers(size))),
            rows.items(random.integers(0, size, policy.candidates)),
        )
        for _ in range(min(policy.requests, 50))
    ]
    rounds: list[tuple[float, float]] = []
    with _one_thread():
        while len(rounds) < ROUNDS and not any(p99 <= policy.p99_ms for p99, _ in rounds):
            took = _times(scorer, requests, policy.requests)
            rounds.append((float(np.quantile(took, 0.99)), float(np.median(took))))
    p99, p50 = min(rounds)
    return [
        Check.of(
            LATENCY,
            p99,
            policy.p99_ms,
            "at_most",
            slice=f"{policy.candidates} candidates",
            sample_size=policy.requests,
            note=f"p50 {p50:.2f} ms, best of {len(rounds)}",
        )
    ]


def _times(
    scorer: Scorer, requests: list[tuple[dict[str, Column], dict[str, Column]]], count: int
) -> NDArray[np.float64]:
    """Milliseconds of ``count`` requests after :data:`WARM_UP` that do not count."""
    took = np.zeros(WARM_UP + count)
    for index in range(took.size):
        user, items = requests[index % len(requests)]
        start = time.perf_counter()
        scorer.score(user, items)
        took[index] = (time.perf_counter() - start) * 1000
    return took[WARM_UP:]


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Torch on one thread, as an endpoint serves many requests beside each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def parity_checks(
    scorer: Scorer, rows: Rows, evaluation: Path, policy: ParityPolicy
) -> list[Check]:
    """Largest difference of the loaded weights' scores from ``predictions.parquet``.

    Once in batches, as evaluate scores, and once one request at a time, as the endpoint does.
    """
    from hemix.models.versions.inference import predict_table

    size = rows.table.num_rows
    columns = {task.name: prediction_column(CANDIDATE, task.name) for task in rows.spec.tasks}
    stored = pq.read_table(evaluation / PREDICTIONS_FILE, columns=[*columns.values()]).slice(
        0, size
    )
    measured = {task: stored[name].to_numpy() for task, name in columns.items()}
    in_batches = predict_table(scorer, rows.table)
    checks = [_parity("batches", measured, in_batches, policy.tolerance, size)]
    picked = np.unique(np.linspace(0, size - 1, min(policy.requests, size)).astype(np.int64))
    with _one_thread():
        answers = [scorer.score(rows.user(int(row)), rows.items(np.array([row]))) for row in picked]
    served = {task: np.concatenate([answer[task] for answer in answers]) for task in columns}
    asked = {task: values[picked] for task, values in measured.items()}
    checks.append(_parity("requests", asked, served, policy.tolerance, picked.size))
    return checks


def export_check(scorer: Scorer, model: Path, transformed: Path, policy: ParityPolicy) -> Check:
    """Largest difference of the loaded weights' scores from those of the ranker in memory.

    The ranker that was trained scored pairs of test rows before it was exported
    (:mod:`hemix.models.versions.reference_scores`); here each request is encoded once and scores its candidates, as the
    endpoint does.
    """
    from hemix.models.versions.reference_scores import column_of, read_eager

    eager = read_eager(model)
    if eager is None:
        return Check(
            check=EXPORT,
            value=None,
            threshold=policy.tolerance,
            direction="at_most",
            passed=False,
            note="the version holds no scores from before its export: train it again",
        )
    requests, items = (eager[name].to_numpy() for name in ("request", "item"))
    numbers, places = np.unique(np.concatenate([requests, items]), return_inverse=True)
    table = split_dataset(transformed, "test").take(numbers)
    rows = Rows(spec=scorer.spec, table=table)
    asked, offered = places[: len(requests)], places[len(requests) :]
    largest = 0.0
    with _one_thread():
        for request in np.unique(asked):
            own = asked == request
            state = scorer.encode_request(rows.user(int(request)))
            served = scorer.score_candidates(state, rows.items(offered[own]))
            for task, scores in served.items():
                gap = eager[column_of(task)].to_numpy()[own].astype(np.float64) - scores
                largest = max(largest, float(np.abs(gap).max()))
                if np.isnan(gap).any():
                    largest = float("nan")
    return Check.of(
        EXPORT, largest, policy.tolerance, "at_most", sample_size=len(requests),
        note="largest difference of a probability from the ranker in memory",
    )  # fmt: skip


def _parity(
    how: str,
    measured: Mapping[str, NDArray[np.float32]],
    again: Mapping[str, NDArray[np.float32]],
    tolerance: float,
    rows: int,
) -> Check:
    largest = max(
        float(np.max(np.abs(measured[t].astype(np.float64) - again[t]))) for t in measured
    )
    return Check.of(
        f"score parity in {how}", largest, tolerance, "at_most", sample_size=rows,
        note="largest difference of a probability",
    )  # fmt: skip
