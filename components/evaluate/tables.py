"""Rows of one window: examples (raw) and transformed (ids), and proof that they are the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from hemix.errors import DataError
from hemix.features.split import Window

KEYS = ("request_id", "user_id", "item_id", "event_time")
BATCH_ROWS = 16_384


def split_dataset(transformed: Path, split: str) -> ds.Dataset:
    """One split of the transformed data.

    Raises:
        DataError: the split holds no row.
    """
    folder = transformed / split
    if not folder.is_dir() or not any(folder.rglob("*.parquet")):
        raise DataError(f"{folder}: the {split} split holds no row.", hint="Check split.* times.")
    return ds.dataset(folder, format="parquet", partitioning="hive")


def read_split(transformed: Path, split: str, columns: Sequence[str] | None) -> pa.Table:
    """Columns of one split, all when None, rows in stored order."""
    wanted = None if columns is None else list(columns)
    return split_dataset(transformed, split).to_table(columns=wanted)


def batches(dataset: ds.Dataset, columns: Sequence[str] | None = None, **filters: pc.Expression
            ) -> Iterator[pa.Table]:  # fmt: skip
    """The dataset in tables of at most :data:`BATCH_ROWS` rows, in stored order."""
    for batch in dataset.to_batches(columns=columns, batch_size=BATCH_ROWS, **filters):
        if batch.num_rows:
            yield pa.Table.from_batches([batch])


def examples_dataset(examples: Path) -> ds.Dataset:
    """All examples, partitioned by day; their order is that of their rows in ``examples/``."""
    return ds.dataset(sorted(str(path) for path in examples.rglob("*.parquet")), format="parquet")


def inside(window: Window) -> pc.Expression:
    """Filter: event_time in ``[start, end)``."""
    kind = pa.timestamp("ms", tz="UTC")
    return (pc.field("event_time") >= pa.scalar(window.start, kind)) & (
        pc.field("event_time") < pa.scalar(window.end, kind)
    )


def read_examples(examples: Path, window: Window, columns: Sequence[str]) -> pa.Table:
    """Columns of the examples of one window, rows in stored order."""
    return examples_dataset(examples).to_table(columns=list(columns), filter=inside(window))


def require_same_rows(examples: pa.Table, transformed: pa.Table, split: str) -> None:
    """Check that both tables hold the same keys in the same order.

    Raises:
        DataError: they do not; the message names the split and the first differing key.
    """
    if examples.num_rows != transformed.num_rows:
        raise DataError(
            f"{split}: {examples.num_rows} examples but {transformed.num_rows} transformed rows.",
            hint="Run transform again on these examples.",
        )
    for key in KEYS:
        left, right = examples[key], transformed[key]
        if not left.equals(right.cast(left.type)):
            raise DataError(
                f"{split}: {key} of examples and transformed data differ.",
                hint="Run transform again on these examples.",
            )
