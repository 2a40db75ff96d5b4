"""All numbers' scaling and buckets as one tf.Transform analyser: one pass, one combine."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from features.transform.histogram import Counts, count, merge, scaling
from features.transform.plan import NumberPlan


def number_scaling(x_BF: Any, numbers: Sequence[NumberPlan]) -> tuple[Any, Any, Any]:
    """Means [F], deviations [F] and bucket edges [F, K] over the analysed data.

    ``x_BF`` is float32, NaN where missing; column f is ``numbers[f]``.
    """
    import apache_beam as beam
    import tensorflow as tf
    import tensorflow_transform as tft

    logs = [number.scale == "log" for number in numbers]
    buckets = [number.buckets for number in numbers]
    width = max(1, max(buckets) - 2)

    class MergeHistograms(beam.CombineFn):
        def create_accumulator(self) -> list[list[Counts]]:
            return []

        def add_input(
            self, accumulator: list[list[Counts]], part: list[Counts]
        ) -> list[list[Counts]]:
            accumulator.append(part)
            return accumulator if len(accumulator) < 8 else [merge(accumulator)]

        def merge_accumulators(
            self, accumulators: Iterable[list[list[Counts]]]
        ) -> list[list[Counts]]:
            parts = [part for accumulator in accumulators for part in accumulator]
            return [merge(parts)] if parts else []

        def extract_output(self, accumulator: list[list[Counts]]) -> Any:
            found = scaling(accumulator, logs, buckets)
            return found.mean_F, found.deviation_F, found.edges_FK

    class Analyse(beam.PTransform):
        def expand(self, batches: Any) -> tuple[Any, ...]:
            result = (
                batches
                | "Count" >> beam.Map(lambda inputs: count(inputs[0]))
                | "Merge" >> beam.CombineGlobally(MergeHistograms())
            )
            return tuple(
                result | f"Output{i}" >> beam.Map(lambda outputs, i: outputs[i], i=i)
                for i in range(3)
            )

    size = len(numbers)
    mean_F, deviation_F, edges_FK = tft.experimental.ptransform_analyzer(
        [x_BF],
        Analyse(),
        [tf.float32, tf.float32, tf.float32],
        [[size], [size], [size, width]],
        name="number_scaling",
    )
    return mean_F, deviation_F, edges_FK
