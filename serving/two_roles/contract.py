"""What a predictor says of its version: all that a transformer needs to serve it.

``GET /v2/models/<version>/contract``. The predictor is asked, and not the registry, so that what
the transformer assembles is what the model that runs there takes, and a transformer's pod needs
neither the model's files nor TensorFlow nor torch.
"""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import httpx
import numpy as np

from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes
from hemix.features.transform.columns import MISSING
from hemix.features.transform.graph import TransformGraph
from hemix.features.transform.statistics import Statistics
from hemix.files import read_json
from hemix.serving.monitoring.drift import FeatureBins
from hemix.serving.ranking.loading import PredictorUnavailable
from hemix.spec import FeatureSpec, Side
from hemix.texts.frozen import Frozen, parse

OFFSETS = ".offsets"
"""Ending of the tensor that holds a list column's offsets ``[rows + 1]``."""

_DTYPES: dict[str, Any] = {"int": np.int64, "float": np.float64, "string": object}
_DATATYPES = {"int": "INT64", "float": "FP64", "string": "BYTES"}


class RawInput(Frozen):
    """A column that the model takes: one value a row, or a list a row."""

    name: str
    kind: Literal["int", "string", "float"]
    side: Side
    ragged: bool = False

    @property
    def dtype(self) -> Any:
        """numpy type of its values."""
        return _DTYPES[self.kind]

    @property
    def datatype(self) -> str:
        """V2 name of its values' type."""
        return _DATATYPES[self.kind]


class Contract(Frozen):
    """A version's inputs and tasks, what its features are, and what it was trained on."""

    version: str
    feature_service: str
    definition: str
    types: dict[str, Any]
    inputs: tuple[RawInput, ...]
    spec: FeatureSpec
    statistics: Statistics

    @cached_property
    def dataset(self) -> DatasetDefinition:
        return DatasetDefinition.parse(self.definition)

    @cached_property
    def column_types(self) -> ColumnTypes:
        return ColumnTypes.from_json(self.types)

    @cached_property
    def bins(self) -> FeatureBins:
        """What drift is measured in."""
        return FeatureBins.of(self.spec, self.statistics, self.dataset)

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        return tuple(task.name for task in self.spec.tasks)

    @cached_property
    def users(self) -> tuple[RawInput, ...]:
        """Columns of one row: of the user and of the context."""
        return tuple(column for column in self.inputs if column.side != "item")

    @cached_property
    def items(self) -> tuple[RawInput, ...]:
        """Columns of one row per candidate."""
        return tuple(column for column in self.inputs if column.side == "item")

    def missing_rows(self, candidates: int) -> tuple[dict[str, Any], dict[str, Any]]:
        """Columns of one user and N candidates of whom nothing is known."""
        return (
            {column.name: _missing(column, 1) for column in self.users},
            {column.name: _missing(column, candidates) for column in self.items},
        )

    @staticmethod
    def of(folder: Path) -> Contract:
        """The contract of a verified model version folder."""
        from hemix.models.versions.version import read_manifest

        manifest = read_manifest(folder)
        transform = folder / "transform"
        graph = TransformGraph.load(transform)
        return Contract(
            version=manifest.version,
            feature_service=manifest.feature_service,
            definition=graph.definition.to_json(),
            types=read_json(transform / "types.json"),
            inputs=tuple(
                RawInput(name=c.name, kind=c.kind, side=c.side, ragged=c.ragged)
                for c in graph.plan.raw
            ),
            spec=graph.spec,
            statistics=Statistics.read(transform / "statistics.json"),
        )


def _missing(column: RawInput, rows: int) -> Any:
    if column.ragged:
        return np.zeros(0, column.dtype), np.zeros(rows + 1, np.int64)
    values = np.empty(rows, column.dtype)
    values[:] = MISSING[column.kind]
    return values


def fetch_contract(url: str, version: str, *, timeout_s: float) -> Contract:
    """Ask the predictor at ``url`` for the contract of ``version``.

    Raises:
        PredictorUnavailable: no one answers there, or another version does; names both.
    """
    address = f"{url}/v2/models/{version}/contract"
    hint = "It may still be starting; see its pod's log."
    try:
        answer = httpx.get(address, timeout=timeout_s)
    except httpx.TransportError as error:
        raise PredictorUnavailable(
            f"Predictor {version}: no answer from {url} ({error or type(error).__name__}).",
            hint=hint,
        ) from error
    if answer.status_code != 200:
        raise PredictorUnavailable(
            f"Predictor {version}: {address} answered {answer.status_code}: {answer.text[:200]}.",
            hint=hint,
        )
    return parse(
        Contract,
        answer.content,
        where=f"Predictor {version}: {address}",
        what="a contract",
        hint="Predictor and transformer must be of the same release.",
        error=PredictorUnavailable,
    )
