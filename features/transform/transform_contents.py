"""What the ids and numbers of a fitted transform stand for, read back from its artifact.

A vocabulary is a text file beside the graph. Means, deviations and edges of numbers are one constant
inside it, the only one of its type and shape (:func:`hemix.features.transform.analyzer.number_scaling`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hemix.errors import StorageError
from hemix.features.transform.engine import tensorflow
from hemix.features.transform.graph import TransformGraph
from hemix.features.transform_plan import SIDES, scaling_width


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
    """The scaling of each number by its transformed name.

    Raises:
        StorageError: the graph holds no such constant.
    """
    numbers = [number for side in SIDES for number in graph.plan.numbers_of(side)]
    if not numbers:
        return {}
    scaling_FK = _constant(graph.folder, (len(numbers), scaling_width(numbers)))
    return {
        f"{number.name}_scaled": NumberScaling(
            mean=float(row[0]),
            deviation=float(row[1]),
            edges=tuple(float(edge) for edge in row[2:] if np.isfinite(edge)),
            log=number.scale == "log",
        )
        for number, row in zip(numbers, scaling_FK, strict=True)
    }


def _constant(folder: Path, shape: tuple[int, int]) -> npt.NDArray[np.float64]:
    """The graph's one float64 constant of this shape (:func:`number_scaling`)."""
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
        if [d.size for d in tensor.tensor_shape.dim] == [*shape]
    ]
    matrices = [matrix for matrix in matrices if matrix.dtype == np.float64]
    if len(matrices) != 1:
        raise StorageError(
            f"{file}: holds {len(matrices)} matrices of {shape[0]} by {shape[1]} doubles, not one: the "
            "scaling of numbers cannot be read.",
            hint="The version was fitted by an earlier release of hemix, or is damaged: "
            "train without training.warm_start.",
        )
    return matrices[0]
