"""What a finished run leaves for a comparison, and what a comparison keeps of a training."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hemix.components.evaluate.shared import BY_USER, KEYS, View, WindowRows, moments_of
from hemix.errors import DataError
from hemix.features.shared_state.columns import is_personal
from hemix.features.transform import TransformGraph
from hemix.files import digest_of
from hemix.pipelines.local.record import RunRecord
from hemix.spec import FeatureSpec

if TYPE_CHECKING:
    from hemix.models.rankers.base import Ranker

Scores = dict[str, NDArray[np.float32]]
"""Probabilities ``[rows of the test split]`` per task, and of one state a user where they are known."""


def one_state_of(task: str) -> str:
    """Under which name :data:`Scores` hold a task's scores of one state a user."""
    return f"{task} of one state a user"


@dataclass(frozen=True)
class RunData:
    """The transformed splits of a finished ``hemix run`` and their contract."""

    transformed: Path
    transform: Path
    examples: Path | None = None
    events: Path | None = None

    @classmethod
    def of(cls, run: Path) -> Self:
        """From ``run/run.json``.

        Raises:
            StorageError: there is no ``run.json``.
            DataError: the run ended before its transform step.
        """
        return cls.recorded(RunRecord.read(run / "run.json"))

    @classmethod
    def recorded(cls, record: RunRecord) -> Self:
        """What the run of ``record`` left; raises DataError when it ended before."""
        transformed = record.artifact("transform", "transformed")
        transform = record.artifact("transform", "transform_graph")
        if transformed is None or transform is None:
            raise DataError(
                f"{record.version}: the run has no finished transform step.",
                hint="Let hemix run finish first.",
            )
        made = {step.name for step in record.steps}
        examples, events = (
            record.artifact(step, output) if step in made else None
            for step, output in (("build_examples", "examples"), ("ingest", "events"))
        )
        return cls(transformed, transform, examples, events)

    @cached_property
    def spec(self) -> FeatureSpec:
        return FeatureSpec.read(self.transform / "spec.json")

    @cached_property
    def digest(self) -> str:
        """Names the data in the names of kept results: rows, and the contract."""
        rows = {
            split: pq.read_table(self.transformed / split, columns=["user_id"]).num_rows
            for split in ("train", "validation", "test")
        }
        return digest_of([rows, self.spec.model_dump()], 8)

    @cached_property
    def one_state(self) -> View | None:
        """What gives all test rows of a user the state of the user of one moment; None: they have it,
        or nothing of a user moves (no sequence, no number).

        Raises:
            DataError: the definition has counters of pairs or matches, and the run's examples and
                events, of which these are counted, are gone.
        """
        return self.view_of("test")

    def view_of(self, split: str) -> View | None:
        """:attr:`one_state` for the rows of any split; errors as there."""
        if not self.spec.sequences and not self.spec.numeric:
            return None
        graph = TransformGraph.load(self.transform)
        moments = moments_of(pq.read_table(self.transformed / split, columns=list(KEYS)))
        if BY_USER not in moments:
            return None
        gone = self.examples is None or self.events is None
        if gone and is_personal(graph.definition):
            raise DataError(
                f"{self.transformed}: the examples and events of these rows are gone.",
                hint="Run hemix run again: counters of pairs are counted in them.",
            )
        rows = WindowRows(
            examples=self.examples or Path(),
            events=self.events or Path(),
            window=graph.definition.split.windows()[split],
            moments={BY_USER: moments[BY_USER]},
        )
        return rows.candidate_views(graph, self.transformed, split)[BY_USER]

    def personal_view(self, split: str) -> View | None:
        """:meth:`view_of`, where rows hold what a user has with a candidate; None: they do not, and
        the columns of the user's state are enough.
        """
        held = any(field.personal for field in self.spec.numeric)
        return self.view_of(split) if held else None

    def scores_of(self, ranker: Ranker) -> Scores:
        """Test scores of a ranker a task, and under :func:`one_state_of` those of one state a user."""
        from hemix.models.versions.inference import predict_table

        rows = pq.read_table(self.transformed / "test")
        own = dict(predict_table(ranker, rows))
        shared = own if self.one_state is None else predict_table(ranker, self.one_state(rows, 0))
        return own | {one_state_of(task): p for task, p in shared.items()}

    @cached_property
    def test(self) -> HeldOut:
        columns = ["user_id", "request_id", *(task.column for task in self.spec.tasks)]
        table = pq.read_table(self.transformed / "test", columns=columns)
        return HeldOut(
            users=_codes(table["user_id"].to_numpy()),
            requests=_codes(table["request_id"].to_numpy()),
            labels={t.name: table[t.column].to_numpy().astype(float) for t in self.spec.tasks},
        )


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Codes of users and requests ``[B]``, labels ``[B]`` per task, in the order of the files."""

    users: NDArray[np.int64]
    requests: NDArray[np.int64]
    labels: dict[str, NDArray[np.float64]]

    @property
    def lists(self) -> bool:
        """Whether requests hold several candidates, so that AUC an impression is defined."""
        return int(self.requests.max()) + 1 < len(self.requests) / 2


def _codes(values: NDArray[Any]) -> NDArray[np.int64]:
    return np.unique(values, return_inverse=True)[1].astype(np.int64)


def read_scores(path: Path) -> Scores:
    """What :func:`write_scores` wrote."""
    with np.load(path) as kept:
        return {name: kept[name] for name in kept.files}


def write_scores(path: Path, scores: Scores) -> None:
    """Keep test scores beside the result file of a training."""
    partial = path.with_suffix(".partial.npz")
    np.savez_compressed(partial, **{name: np.asarray(p, np.float32) for name, p in scores.items()})  # type: ignore[arg-type]
    partial.rename(path)
