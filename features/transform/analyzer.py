"""The two analysers of the transform: all vocabularies in one combine, all numbers in another.

``tft.vocabulary`` costs about a second of Beam stages each, whatever the data's size, and its
weights are float32; a definition has dozens of them. These count in int64 and combine once. A
vocabulary must fit a worker's memory, as it must fit the serving graph's look-up table anyway.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from hemix.features.schema import MISSING_INT
from hemix.features.transform.histogram import count, merge, scaling
from hemix.features.transform_plan import NumberPlan, VocabularyPlan, scaling_width

MISSING_LINE = b"\xff"
"""Stands for the empty string in a vocabulary's file, where empty lines are not allowed.

No text of a log can be it: texts are UTF-8, and this byte stands in none."""
Counts = tuple[npt.NDArray[Any], npt.NDArray[np.int64]]
"""Sorted distinct values and how often they occur."""
Parts = list[list[Any]]
Merge = Callable[[Parts], list[Any]]
Outputs = tuple[Any, ...]


def add_up(parts: Iterable[list[Counts]]) -> list[Counts]:
    """The sum of counts of the same vocabularies."""
    added = []
    for features in zip(*parts, strict=True):
        values, where = np.unique(np.concatenate([v for v, _ in features]), return_inverse=True)
        counts = np.zeros(len(values), np.int64)
        np.add.at(counts, where, np.concatenate([c for _, c in features]))
        added.append((values, counts))
    return added


def _combine_fn(merge: Merge, finish: Callable[[Parts], Outputs]) -> Any:
    import apache_beam as beam

    class MergeCounts(beam.CombineFn):
        """Adds up the lists that batches were counted to."""

        def create_accumulator(self) -> Parts:
            return []

        def add_input(self, accumulator: Parts, part: list[Any]) -> Parts:
            accumulator.append(part)
            return accumulator if len(accumulator) < 8 else [merge(accumulator)]

        def merge_accumulators(self, accumulators: Iterable[Parts]) -> Parts:
            parts = [part for accumulator in accumulators for part in accumulator]
            return [merge(parts)] if parts else []

        def extract_output(self, accumulator: Parts) -> Outputs:
            return finish([merge(accumulator)] if accumulator else [])

    return MergeCounts()


def _analyser(
    prepare: Callable[[Outputs], list[Any]],
    merge: Merge,
    finish: Callable[[Parts, str], Outputs],
    outputs: int,
) -> Any:
    """A PTransform analyser: ``prepare`` counts a batch, ``finish`` turns the sum into outputs."""
    import apache_beam as beam
    from tensorflow_transform.beam.experimental import PTransformAnalyzer

    class Analyse(PTransformAnalyzer):
        def expand(self, batches: Any) -> tuple[Any, ...]:
            folder = self.base_temp_dir
            result = (
                batches
                | "Count" >> beam.Map(prepare)
                | "Merge"
                >> beam.CombineGlobally(_combine_fn(merge, lambda parts: finish(parts, folder)))
            )
            return tuple(
                result | f"Output{i}" >> beam.Map(lambda found, i: found[i], i=i)
                for i in range(outputs)
            )

    return Analyse()


def number_scaling(x_BF: Any, numbers: Sequence[NumberPlan]) -> tuple[Any, Any, Any]:
    """Means [F], deviations [F] and bucket edges [F, K] over the analysed data.

    All are float64: a float32 cannot tell the seconds of a day from each other. ``x_BF`` is NaN
    where missing; column f is ``numbers[f]``. They are one constant of the graph,
    ``[F, 2 + K]``, from which :mod:`hemix.features.transform.transform_contents` reads them back.
    """
    import tensorflow as tf
    import tensorflow_transform as tft

    logs = [number.scale == "log" for number in numbers]
    buckets = [number.buckets for number in numbers]

    def finish(parts: Parts, folder: str) -> Outputs:
        found = scaling(parts, logs, buckets)
        return (np.column_stack([found.mean_F, found.deviation_F, found.edges_FK]),)

    (scaling_FK,) = tft.experimental.ptransform_analyzer(
        [x_BF],
        _analyser(lambda inputs: count(inputs[0]), merge, finish, 1),
        [tf.float64],
        [[len(numbers), scaling_width(numbers)]],
        name="number_scaling",
    )
    return scaling_FK[:, 0], scaling_FK[:, 1], scaling_FK[:, 2:]


def vocabulary_lines(counts: Counts, min_count: int) -> list[bytes]:
    """A vocabulary's file, a line a value: the missing value, then values by falling count.

    Ties are ordered by value. Ingest let no value with a line break in; one that came another way
    cannot stand in a file and stays unknown.
    """
    values, amounts = counts
    order = np.lexsort((np.arange(len(values)), -amounts))
    kept = [values[i] for i in order if amounts[i] >= min_count]
    if values.dtype == object:
        return [MISSING_LINE, *(v for v in kept if not (b"\n" in v or b"\r" in v))]
    return [str(MISSING_INT).encode(), *(str(v).encode() for v in kept)]


def vocabulary_files(
    values: Sequence[Any], counts: Sequence[Any], plans: Sequence[VocabularyPlan]
) -> list[Any]:
    """File names (deferred) of all vocabularies, from the distinct values of each batch.

    ``values[v]`` and ``counts[v]`` are [N_v]: distinct values that are not missing and how often
    they stand in the batch.
    """
    import tensorflow as tf
    import tensorflow_transform as tft
    from apache_beam.io.filesystems import FileSystems

    size = len(plans)
    strings = [x.dtype == tf.string for x in values]

    def prepare(inputs: Outputs) -> list[Counts]:
        return [
            (np.asarray(v), np.asarray(c))
            for v, c in zip(inputs[:size], inputs[size:], strict=True)
        ]

    def finish(parts: Parts, folder: str) -> Outputs:
        nothing = [
            (np.zeros(0, object if text else np.int64), np.zeros(0, np.int64)) for text in strings
        ]
        if not FileSystems.exists(folder):
            FileSystems.mkdirs(folder)
        names = []
        for plan, found in zip(plans, parts[0] if parts else nothing, strict=True):
            names.append(posixpath.join(folder, plan.name))
            with FileSystems.create(names[-1], mime_type="text/plain") as file:
                file.write(b"\n".join(vocabulary_lines(found, plan.min_count)) + b"\n")
        return tuple(names)

    return tft.experimental.ptransform_analyzer(
        [*values, *counts],
        _analyser(prepare, add_up, finish, size),
        [tf.string] * size,
        [[]] * size,
        output_asset_default_values=[b"0"] * size,
        name="vocabularies",
    )
