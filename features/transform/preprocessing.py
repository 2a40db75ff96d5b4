"""The preprocessing function: raw columns to ids and numbers, as one TensorFlow graph.

Each batch is first aggregated inside the graph (distinct values with counts), so that Beam sees
thousands of elements where it would have seen tens of millions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hemix.features.derived.of_time import TIME_FIELDS
from hemix.features.schema import MISSING_INT
from hemix.features.transform.analyzer import MISSING_LINE, number_scaling, vocabulary_files
from hemix.features.transform_plan import (
    FARTHEST,
    GAP_BOUNDARIES,
    SIDES,
    NumberPlan,
    TransformPlan,
    VocabularyPlan,
    index_column,
)

Tensors = dict[str, Any]
LANES = 16
"""Numbers of a side are padded to a multiple of this, a multiple of every CPU's vector: a value's
logarithm is then always computed by the vectorised kernel, whatever the batch, bit for bit."""


def preprocessing_fn(plan: TransformPlan) -> Callable[[Mapping[str, Any]], Tensors]:
    """The function tf.Transform traces: raw tensors by name -> transformed tensors by name.

    Scalars are [B]; lists are ragged [B, L]. Every output keeps its input's shape;
    ids are int64 here (all tf.Transform allows) and int32 once applied.
    """

    def fn(inputs: Mapping[str, Any]) -> Tensors:
        outputs: Tensors = {}
        for vocabulary, file in zip(plan.vocabularies, _files(plan, inputs), strict=True):
            outputs |= _ids(plan, vocabulary, file, inputs)
        for name in plan.time_fields:
            outputs[index_column(name)] = _range_ids(inputs[name], TIME_FIELDS[name].size)
        for raw, output in plan.gaps.items():
            outputs[output] = inputs[raw].with_values(_gap_ids(inputs[raw].values))
        return outputs | _numbers(plan, inputs)

    return fn


def _flat(x: Any) -> Any:
    return getattr(x, "flat_values", x)


def _missing(x: Any) -> Any:
    import tensorflow as tf

    return tf.equal(x, "" if x.dtype == tf.string else tf.constant(MISSING_INT, x.dtype))


def _files(plan: TransformPlan, inputs: Mapping[str, Any]) -> list[Any]:
    """One deferred vocabulary file a vocabulary, from each batch's distinct values."""
    import tensorflow as tf

    values, counts = [], []
    for vocabulary in plan.vocabularies:
        flat = tf.concat([_flat(inputs[name]) for name in vocabulary.inputs], axis=0)
        distinct, _, times = tf.unique_with_counts(
            tf.boolean_mask(flat, ~_missing(flat)), out_idx=tf.int64
        )
        values.append(distinct)
        counts.append(times)
    return vocabulary_files(values, counts, plan.vocabularies)


def _ids(
    plan: TransformPlan, vocabulary: VocabularyPlan, file: Any, inputs: Mapping[str, Any]
) -> Tensors:
    import tensorflow as tf

    outputs: Tensors = {}
    for side in SIDES:  # one look-up a side: the sides of a request are computed apart
        names = [name for name in vocabulary.inputs if plan.column(name).side == side]
        if not names:
            continue
        flats = [_flat(inputs[name]) for name in names]
        ids = _look_up(tf.concat(flats, axis=0) if len(flats) > 1 else flats[0], file, vocabulary)
        parts = tf.split(ids, [tf.shape(x)[0] for x in flats]) if len(flats) > 1 else [ids]
        for name, part in zip(names, parts, strict=True):
            ragged = plan.column(name).ragged
            outputs[vocabulary.inputs[name]] = inputs[name].with_values(part) if ragged else part
    return outputs


def _look_up(values: Any, file: Any, vocabulary: VocabularyPlan) -> Any:
    """Line 0 of the file is the missing value, line k the k-th most frequent."""
    import tensorflow as tf
    import tensorflow_transform as tft

    keys = tf.where(_missing(values), MISSING_LINE, values) if values.dtype == tf.string else values
    line = tft.apply_vocabulary(keys, file, default_value=-1)
    unknown: Any = tf.ones_like(line)
    if vocabulary.oov_buckets > 1:
        text = values if values.dtype == tf.string else tf.strings.as_string(values)
        unknown = 1 + tf.strings.to_hash_bucket_fast(text, vocabulary.oov_buckets)
    known = tf.where(line > 0, line + vocabulary.oov_buckets, line)
    return tf.where(line < 0, unknown, known)


def _range_ids(values: Any, size: int) -> Any:
    """Integers ``0 .. size - 1`` as ids ``2 ..``; 1 for others, 0 for missing."""
    import tensorflow as tf

    inside = (values >= 0) & (values < size)
    ids = tf.where(inside, values + 2, tf.ones_like(values))
    return tf.where(_missing(values), tf.zeros_like(ids), ids)


def _gap_ids(seconds: Any) -> Any:
    import tensorflow as tf

    edges = tf.constant(GAP_BOUNDARIES, tf.int64)
    ids = 1 + tf.searchsorted(edges, seconds, side="right", out_type=tf.int64)
    return tf.where(seconds < 0, tf.zeros_like(ids), ids)


def _raw_number(number: NumberPlan, inputs: Mapping[str, Any]) -> Any:
    """One number [B] as float64, NaN where missing."""
    import tensorflow as tf

    parts = []
    for name in number.inputs:
        x = inputs[name]
        y = tf.cast(x, tf.float64)
        nothing = tf.constant(float("nan"), tf.float64)
        parts.append(tf.where(x < 0, nothing, y) if x.dtype == tf.int64 else y)
    if not number.levels:
        return parts[0]
    rate: Any = number.prior
    for events, per in zip(parts[-2::-2], parts[::-2], strict=True):  # the widest key first
        rate = (events + number.smoothing * rate) / (per + number.smoothing)
    return rate


def _numbers(plan: TransformPlan, inputs: Mapping[str, Any]) -> Tensors:
    import tensorflow as tf

    if not plan.numbers:
        return {}
    raw = {
        side: tf.stack([_raw_number(n, inputs) for n in plan.numbers_of(side)], axis=1)
        for side in SIDES
        if plan.numbers_of(side)
    }
    ordered = [n for side in raw for n in plan.numbers_of(side)]
    mean_F, deviation_F, edges_FK = number_scaling(tf.concat(list(raw.values()), axis=1), ordered)
    outputs: Tensors = {}
    start = 0
    for side, x_BF in raw.items():
        numbers = plan.numbers_of(side)
        part = slice(start, start := start + len(numbers))
        outputs |= _scaled(x_BF, numbers, mean_F[part], deviation_F[part], edges_FK[part])
    return outputs


def _scaled(
    x_BF: Any, numbers: tuple[NumberPlan, ...], mean_F: Any, deviation_F: Any, edges_FK: Any
) -> Tensors:
    import tensorflow as tf

    F = len(numbers)
    known_BF = tf.math.is_finite(x_BF)
    x_BF = tf.where(known_BF, x_BF, tf.zeros_like(x_BF))
    inside_BFK = x_BF[:, :, None] >= edges_FK[None]
    bucket_BF = 1 + tf.reduce_sum(tf.cast(inside_BFK, tf.int64), axis=2)
    bucket_BF = tf.where(known_BF, bucket_BF, tf.zeros_like(bucket_BF))
    padded = tf.pad(tf.abs(x_BF), [[0, 0], [0, -F % LANES]])
    log_BF = tf.sign(x_BF) * tf.math.log1p(padded)[:, :F]
    y_BF = tf.where(tf.constant([n.scale == "log" for n in numbers])[None], log_BF, x_BF)
    y_BF = tf.clip_by_value((y_BF - mean_F) / deviation_F, -FARTHEST, FARTHEST)
    y_BF = tf.cast(tf.where(known_BF, y_BF, tf.zeros_like(y_BF)), tf.float32)
    outputs: Tensors = {}
    for f, (y, bucket) in enumerate(
        zip(tf.unstack(y_BF, F, axis=1), tf.unstack(bucket_BF, F, axis=1), strict=True)
    ):
        outputs[f"{numbers[f].name}_scaled"] = y
        outputs[f"{numbers[f].name}_bucket"] = bucket
    return outputs
