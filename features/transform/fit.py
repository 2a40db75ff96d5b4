"""Fit the transform on the training split and apply it to all splits, both on Beam.

Analysis is tf.Transform over Arrow record batches. Application maps the saved graph, as serving
loads it, over files: one code path for Parquet and for requests.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hemix.errors import DataError
from hemix.features.beam.options import beam_options, own_errors
from hemix.features.definition import DatasetDefinition
from hemix.features.schema import ColumnTypes, examples_schema, label_column
from hemix.features.split import Window
from hemix.features.transform.canonical import ASSETS, canonical
from hemix.features.transform.columns import (
    ARROW,
    column_names,
    day_may_hold,
    example_files,
    raw_columns,
    read_batches,
    split_windows,
)
from hemix.features.transform.engine import tensorflow
from hemix.features.transform.preprocessing import preprocessing_fn
from hemix.features.transform.unseen import bucket_sizes
from hemix.features.transform_plan import RawColumn, TransformPlan, make_plan, overall_columns
from hemix.files import atomic_folder, refuse_patterns, write_json
from hemix.progress import say

BATCH_ROWS = 8192


def survey(definition: DatasetDefinition, types: ColumnTypes, examples: Path) -> dict[str, float]:
    """Check columns and splits before any work; each task's positive share of the training split,
    and the overall rate there of each rate of actions.

    Raises:
        DataError: a column is missing or a split holds no rows; the message names it.
        StorageError: a file is truncated.
    """
    labels = {task: label_column(task) for task in definition.tasks}
    rows = dict.fromkeys(split_windows(definition), 0)
    overall = overall_columns(definition)
    columns = [*labels.values(), *(name for pair in overall.values() for name in pair)]
    sums = dict.fromkeys(columns, 0)
    needed = examples_schema(definition, types).names
    for file in example_files(examples):
        if absent := sorted(set(needed) - set(column_names(file))):
            raise DataError(
                f"{file}: column {absent[0]!r} is missing.",
                hint="Build the examples again with this definition.",
            )
        for split, window in split_windows(definition).items():
            if not day_may_hold(file, window):
                continue
            for batch in read_batches(file, window, 1 << 16, [*sums]):
                rows[split] += batch.num_rows
                for name in sums if split == "train" else ():
                    sums[name] += pc.sum(batch.column(name)).as_py() or 0
    for split, window in split_windows(definition).items():
        if not rows[split]:
            raise DataError(
                f"The {split} split is empty: no example lies in "
                f"{window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC.",
                hint=f"Check split.{split} in the definition.",
            )
    shares = {task: sums[name] / rows["train"] for task, name in labels.items()}
    rates = {
        name: sums[event] / sums[per] if sums[per] else 0.0
        for name, (event, per) in overall.items()
    }
    return shares | rates


def _as_lists(batch: pa.RecordBatch, raw: tuple[RawColumn, ...]) -> pa.RecordBatch:
    """A batch as tfx_bsl wants it: every column a list, scalars lists of one."""
    arrays = []
    single = pa.array(np.arange(batch.num_rows + 1, dtype=np.int64))
    for column, value in zip(raw, raw_columns(batch, raw).values(), strict=True):
        values, offsets = value if isinstance(value, tuple) else (value, None)
        lengths = single if offsets is None else pa.array(offsets)
        array = pa.array(values, type=pa.large_binary() if column.kind == "string" else None)
        arrays.append(pa.LargeListArray.from_arrays(lengths, array))
    return pa.RecordBatch.from_arrays(arrays, names=[column.name for column in raw])


def tensor_adapter_config(raw: tuple[RawColumn, ...]) -> Any:
    """How tf.Transform reads the batches: dense scalars [B], ragged lists [B, L]."""
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2
    from tfx_bsl.tfxio import tensor_adapter

    representations = {}
    for column in raw:
        text = f'dense_tensor {{ column_name: "{column.name}" shape {{}} }}'
        if column.ragged:
            text = (
                f'ragged_tensor {{ feature_path {{ step: "{column.name}" }} '
                "row_partition_dtype: INT64 }"
            )
        representations[column.name] = text_format.Parse(text, schema_pb2.TensorRepresentation())
    types = {kind: pa.large_binary() if kind == "string" else ARROW[kind] for kind in ARROW}
    schema = pa.schema([(column.name, pa.large_list(types[column.kind])) for column in raw])
    return tensor_adapter.TensorAdapterConfig(schema, representations)


class _ReadTraining:
    """Reads one file's training rows as batches of lists (picklable for any runner)."""

    def __init__(self, window: Window, raw: tuple[RawColumn, ...]) -> None:
        self.window, self.raw = window, raw

    def __call__(self, file: str) -> Iterator[pa.RecordBatch]:
        names = [column.name for column in self.raw]
        for batch in read_batches(Path(file), self.window, BATCH_ROWS, names):
            yield _as_lists(batch, self.raw)


def fit(
    *,
    definition: DatasetDefinition,
    types: ColumnTypes,
    examples: Path,
    out_transform: Path,
    runner_options: Sequence[str] = (),
) -> TransformPlan:
    """Analyse the training split and write ``transform_fn/``, ``spec.json`` and the definition.

    ``statistics.json`` is added by :mod:`hemix.features.transform.statistics` after application.

    Args:
        definition: the data set definition.
        types: what ids and values are stored as.
        examples: the examples artifact.
        out_transform: folder of the transform artifact.
        runner_options: Beam flags, or a runner configuration.

    Raises:
        DataError: an empty split or a missing column; the message names it.
        EnvironmentProblem: the output's path holds signs of patterns.
    """
    refuse_patterns(out_transform)
    priors = survey(definition, types, examples)
    tensorflow()
    import apache_beam as beam
    import tensorflow_transform.beam as tft_beam

    plan = make_plan(definition, types, priors, bucket_sizes(definition, examples))
    window = split_windows(definition)["train"]
    files = [str(file) for file in example_files(examples) if day_may_hold(file, window)]
    say(f"transform: analysing {len(files)} files of the training split")
    beside = out_transform.parent  # where all workers see it, as they must see the output
    beside.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(
            dir=beside, prefix=f".{out_transform.name}.", suffix=".scratch"
        ) as scratch,
        atomic_folder(out_transform) as folder,
    ):
        with (
            own_errors(),
            beam.Pipeline(options=beam_options(runner_options)) as pipeline,
            tft_beam.Context(temp_dir=scratch),
        ):
            batches = (
                pipeline
                | "Files" >> beam.Create(files)
                | "Spread" >> beam.Reshuffle()
                | "Read" >> beam.FlatMap(_ReadTraining(window, plan.raw))
            )
            fitted = (
                batches,
                tensor_adapter_config(plan.raw),
            ) | "Analyse" >> tft_beam.AnalyzeDataset(preprocessing_fn(plan))
            _ = fitted | "Write" >> tft_beam.WriteTransformFn(str(folder / "transform_fn"))
        canonical(folder / "transform_fn" / "transform_fn")
        assets = folder / "transform_fn" / "transform_fn" / ASSETS
        sizes = {  # the first line is the missing value
            v.name: (assets / v.name).read_bytes().count(b"\n") - 1 for v in plan.vocabularies
        }
        plan.spec(sizes).write(folder / "spec.json")
        write_json(folder / "types.json", types.to_json())
        write_json(folder / "priors.json", priors)
        anywhere = definition.model_copy(update={"root": "."})  # the log's place decides nothing
        (folder / "definition.json").write_text(anywhere.to_json())
    return plan
