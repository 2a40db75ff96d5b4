"""What the ids and numbers of a fitted transform stand for, read back from its artifact.

A vocabulary is a text file beside the graph. Means, deviations and edges of numbers are constants
inside it: the edges are the graph's one matrix of the numbers' shape, means and deviations follow
from what the graph makes of two known values.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from features.transform.columns import MISSING, Column
from features.transform.graph import TransformGraph
from features.transform.plan import RATE_PRIOR_WEIGHT, SIDES, NumberPlan
from hemix.errors import StorageError

Floats = npt.NDArray[np.float64]
PROBES = (0.0, 1000.0)
"""Raw values by which a scaling is read off."""


@dataclass(frozen=True, kw_only=True)
class NumberScaling:
    """``scaled = (y - mean) / deviation``, y the raw value or its signed log1p (``log``).

    ``edges``: lower edges of the buckets 2, 3, ... in raw units.
    """

    mean: float
    deviation: float
    edges: tuple[float, ...]
    log: bool


def vocabulary_values(graph: TransformGraph) -> dict[str, list[bytes]]:
    """The values of each learned vocabulary in the order of their ids after the hash buckets.

    Raises:
        StorageError: a vocabulary's file is missing, or holds other values than the contract counts.
    """
    found = {}
    for vocabulary in graph.plan.vocabularies:
        file = graph.folder / "transform_fn" / "transform_fn" / "assets" / vocabulary.name
        try:
            lines = file.read_bytes().split(b"\n")[:-1]
        except OSError as error:
            raise StorageError(f"{file}: cannot read ({error.strerror}).") from error
        found[vocabulary.name] = lines[1:]  # the first stands for the missing value
        size = 1 + vocabulary.oov_buckets + len(found[vocabulary.name])
        if size != graph.spec.vocabulary(vocabulary.name).size:
            raise StorageError(
                f"{file}: holds {len(lines) - 1} values, spec.json counts otherwise.",
                hint="The transform artifact is damaged: take it again from where it was made.",
            )
    return found


def number_scalings(graph: TransformGraph) -> dict[str, NumberScaling]:
    """The scaling of each number by its transformed name; one whose scaling cannot be read is left out.

    Raises:
        StorageError: the graph holds no matrix of edges.
    """
    numbers = [number for side in SIDES for number in graph.plan.numbers_of(side)]
    if not numbers:
        return {}
    edges_FK = _edges(graph.folder, len(numbers), max(1, max(n.buckets for n in numbers) - 2))
    rows: dict[str, Column] = {}
    for column in graph.inputs():
        dtype = {"int": np.int64, "string": object, "float": np.float64}[column.kind]
        values = np.full(len(PROBES), MISSING[column.kind], dtype)
        if not column.ragged and column.kind != "string":
            values = np.array(PROBES).astype(dtype)
        offsets = np.arange(len(PROBES) + 1, dtype=np.int64)
        rows[column.name] = (values, offsets) if column.ragged else values
    scaled = graph.apply_columns(rows, set(SIDES))
    found = {}
    for number, edges in zip(numbers, edges_FK, strict=True):
        x = scaled[f"{number.name}_scaled"]
        assert isinstance(x, np.ndarray)
        y = _unscaled(number, np.array(PROBES))
        slope = (float(x[1]) - float(x[0])) / (y[1] - y[0])
        found[f"{number.name}_scaled"] = NumberScaling(
            mean=float(y[0] - float(x[0]) / slope),
            deviation=float(1 / slope),
            edges=tuple(float(edge) for edge in edges if np.isfinite(edge)),
            log=number.scale == "log",
        )
    return found


def _unscaled(number: NumberPlan, raw: Floats) -> Floats:
    """y of :class:`NumberScaling` when every input column holds ``raw``."""
    if number.positives:
        raw = (raw + RATE_PRIOR_WEIGHT * number.prior) / (raw + RATE_PRIOR_WEIGHT)
    return np.log1p(raw) if number.scale == "log" else raw


def _edges(folder: Path, numbers: int, width: int) -> npt.NDArray[np.float32]:
    from features.transform.engine import tensorflow

    tensorflow()
    from tensorflow.core.protobuf import saved_model_pb2
    from tensorflow.python.framework import tensor_util

    file = folder / "transform_fn" / "transform_fn" / "saved_model.pb"
    saved = saved_model_pb2.SavedModel()
    saved.ParseFromString(file.read_bytes())
    graph: Any = saved.meta_graphs[0].graph_def
    constants = [node.attr["value"].tensor for node in graph.node if node.op == "Const"]
    matrices = [
        tensor_util.MakeNdarray(tensor)
        for tensor in constants
        if [d.size for d in tensor.tensor_shape.dim] == [numbers, width]
    ]
    matrices = [matrix for matrix in matrices if matrix.dtype == np.float32]
    if len(matrices) != 1:
        raise StorageError(
            f"{file}: holds {len(matrices)} matrices of {numbers} by {width} edges, not one.",
            hint="A warm start cannot use this version; train without training.warm_start.",
        )
    return matrices[0]
