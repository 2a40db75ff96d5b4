"""The saved graph cut down to what one side of a request needs, fed from numpy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hemix.features.transform.allowed import require_allowed
from hemix.features.transform.columns import Column
from hemix.features.transform.engine import tensorflow
from hemix.features.transform_plan import RawColumn
from hemix.files import refuse_patterns


def restore(saved_model: Path) -> Any:
    """The saved transform.

    Raises:
        EnvironmentProblem: its path holds signs of patterns.
        ModelVersionError: the graph holds what no transform of ours does; the message names it.
    """
    refuse_patterns(saved_model)
    require_allowed(saved_model)
    tf = tensorflow()
    return tf.saved_model.load(str(saved_model))


def pruned_function(
    restored: Any, raw: tuple[RawColumn, ...], outputs: tuple[str, ...], lists: Mapping[str, str]
) -> Callable[[Mapping[str, Column]], dict[str, Column]]:
    """A function of numpy columns that runs only the nodes between ``raw`` and ``outputs``.

    ``lists`` maps each output list to a raw list with the same offsets. Values of lists are fed
    and fetched flat: every operation on them is element-wise.
    """
    import tensorflow as tf

    wrapped = restored.transform_fn
    if hasattr(wrapped, "concrete_functions"):
        wrapped = wrapped.concrete_functions[0]
    signature = wrapped.structured_input_signature[0][0]
    kinds = {column.name: column for column in raw}

    specs = [
        tf.TensorSpec([None], {"int": tf.int64, "string": tf.string, "float": tf.float64}[c.kind])
        for c in raw
    ]

    def fed(*values: Any) -> list[Any]:
        given = dict(zip(kinds, values, strict=True))
        inputs = {}
        for name, spec in signature.items():
            ragged = isinstance(spec, tf.RaggedTensorSpec)
            flat = given.get(name)
            if flat is None:
                flat = tf.zeros([0], spec.dtype)
            if ragged:
                splits = tf.stack([tf.constant(0, tf.int64), tf.size(flat, out_type=tf.int64)])
                flat = tf.RaggedTensor.from_row_splits(flat, splits, validate=False)
            inputs[name] = flat
        found = wrapped(*tf.nest.flatten(inputs, expand_composites=True))
        flats = [getattr(found[name], "flat_values", found[name]) for name in outputs]
        return [tf.cast(flat, tf.int32) if flat.dtype == tf.int64 else flat for flat in flats]

    concrete = tf.function(fed, input_signature=specs, autograph=False).get_concrete_function()

    def run(columns: Mapping[str, Column]) -> dict[str, Column]:
        tensors: list[Any] = []
        for column in raw:
            value = columns[column.name]
            flat = value[0] if isinstance(value, tuple) else value
            tensors.append(tf.constant(flat, specs[len(tensors)].dtype))
        results = concrete(*tensors)
        named: dict[str, Column] = {}
        for name, result in zip(outputs, results, strict=True):
            array = result.numpy()
            if name in lists:
                named[name] = (array, columns[lists[name]][1])
            else:
                named[name] = array
        return named

    return run
