"""Apply a fitted transform to the splits of an examples artifact, on Beam.

The work item is a file of examples inside a split's window; its rows keep their order, and a
split's files sort in time order. The graph runs over whole batches, not over rows.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hemix.features.beam.options import beam_options, own_errors
from hemix.features.definition import DatasetDefinition
from hemix.features.split import Window
from hemix.features.transform.columns import (
    day_may_hold,
    example_files,
    read_batches,
    split_windows,
)
from hemix.features.transform.graph import TABLE_ROWS, TransformGraph
from hemix.files import atomic_file, atomic_folder
from hemix.progress import say


@functools.lru_cache(maxsize=2)
def _graph(folder: Path) -> TransformGraph:
    return TransformGraph.load(folder)


def transform_file(transform: Path, source: Path, window: Window, out: Path) -> int:
    """Write the rows of ``source`` inside ``window``, transformed; returns how many there were.

    Without rows no file is written.
    """
    graph = _graph(transform)
    writer: pq.ParquetWriter | None = None
    rows = 0
    with atomic_file(out, durable=False) as temporary:
        for batch in read_batches(source, window, TABLE_ROWS):
            table = graph.apply_table(pa.Table.from_batches([batch]))
            if writer is None:
                writer = _writer(temporary, table.schema)
            writer.write_table(table)
            rows += table.num_rows
        if writer is not None:
            writer.close()
    if not rows:
        out.unlink()
    return rows


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer that stores sequences byte by byte: a user's events come again with each of the user's
    rows, which zstd finds only where they begin at whole bytes, in one page, and not in a dictionary's
    packed bits.
    """
    lists = [
        f"{field.name}.list.element"
        for field in schema
        if pa.types.is_list(field.type) and pa.types.is_integer(field.type.value_type)
    ]
    plain = [field.name for field in schema if not pa.types.is_list(field.type)]
    return pq.ParquetWriter(
        path,
        schema,
        compression="zstd",
        compression_level=3,
        use_dictionary=plain,
        use_byte_stream_split=lists,
        data_page_size=8 << 20,
    )


class _Apply:
    """One work item; picklable, and loads the graph once per process."""

    def __init__(self, transform: Path) -> None:
        self.transform = transform

    def __call__(self, item: tuple[str, str, str, str]) -> tuple[str, int]:
        split, window, source, out = item
        rows = transform_file(
            self.transform, Path(source), Window.model_validate_json(window), Path(out)
        )
        return split, rows


def apply_splits(
    *,
    definition: DatasetDefinition,
    transform: Path,
    examples: Path,
    out_transformed: Path,
    runner_options: Sequence[str] = (),
) -> None:
    """Write ``train/``, ``validation/`` and ``test/`` of a transformed artifact.

    Args:
        definition: the data set definition.
        transform: the transform artifact.
        examples: the examples artifact.
        out_transformed: folder of the three splits.
        runner_options: Beam flags, or a runner configuration.
    """
    import apache_beam as beam

    windows = split_windows(definition)
    with atomic_folder(out_transformed) as folder:
        items = []
        for split, window in windows.items():
            (folder / split).mkdir()
            for source in example_files(examples):
                if day_may_hold(source, window):
                    day = source.parent.name.removeprefix("day=")
                    out = folder / split / f"{day}-{source.stem}.parquet"
                    items.append((split, window.model_dump_json(), str(source), str(out)))
        say(f"transform: applying the graph to {len(items)} files")
        with own_errors(), beam.Pipeline(options=beam_options(runner_options)) as pipeline:
            _ = (
                pipeline
                | "Files" >> beam.Create(items)
                | "Spread" >> beam.Reshuffle()
                | "Apply" >> beam.Map(_Apply(transform))
            )
