"""Pictures of a version: of its weights, and of what it did with raw rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hemix.errors import DataError, DefinitionError
from hemix.features.frames.reading import as_table
from hemix.features.served_as import examples_as_served
from hemix.models.data.batch import Batch
from hemix.models.pictures import Picture, pictures_of
from hemix.models.rankers.base import Ranker

if TYPE_CHECKING:
    from hemix.features.transform import TransformGraph

FORMATS = (".parquet", ".jsonl", ".ndjson")


def pictures_of_version(
    ranker: Ranker, graph: TransformGraph, frame: Any = None, *, first: int = 8
) -> tuple[Picture, ...]:
    """What ``ranker`` shows of its weights, and of the first rows of ``frame`` as they are served.

    Args:
        ranker: in evaluation mode.
        graph: its version's transform.
        frame: raw rows as ``build_examples`` writes them; None: the weights alone.
        first: how many rows are looked at.

    Raises:
        DataError: there is no row, columns are absent (all are named), or hold other types.
        DefinitionError: the ranker has nothing to show, or nothing without rows.
    """
    if frame is None:
        found = pictures_of(ranker, ranker.vector_names)
    else:
        table = as_table(frame[:first], graph.inputs())
        if not table.num_rows:
            raise DataError("There are no rows to look at.", hint="Give at least one raw row.")
        table = examples_as_served(graph.definition, table)
        batch = Batch.from_table(ranker.spec, graph.apply_table(table))
        events = _event_labels(ranker, table)
        found = pictures_of(ranker, ranker.vector_names, batch, _row_labels(frame, first), events)
    if not found:
        without = " without rows" if frame is None else ""
        raise DefinitionError(
            f"The ranker {ranker.name!r} has nothing to show{without}.",
            hint="Give raw rows (--rows FILE): HeMix, gates, refinement and routes show what they did "
            "with them."
            if frame is None
            else "HeMix with mixed queries, GDCN, AdaEnsemble, xDeepInt and refined rankers have.",
        )
    return found


def _row_labels(frame: Any, first: int) -> tuple[str, ...]:
    """``user 7, item 31`` where the frame has the keys, else numbers."""
    rows = frame[:first]
    names = [name for name in ("user_id", "item_id") if name in _columns(rows)]
    values = [
        list(rows[name].to_pylist() if isinstance(rows, pa.Table) else rows[name]) for name in names
    ]
    if not names:
        return tuple(f"row {at + 1}" for at in range(len(rows)))
    lines = zip(*values, strict=True)
    words = [name.removesuffix("_id") for name in names]
    return tuple(
        ", ".join(f"{word} {value}" for word, value in zip(words, line, strict=True))
        for line in lines
    )


def _columns(frame: Any) -> Sequence[str]:
    return list(frame.column_names if isinstance(frame, pa.Table) else frame.columns)


def _event_labels(ranker: Ranker, table: pa.Table) -> Mapping[str, list[list[str]]]:
    """The item of every event, where the sequence has them as a raw column."""
    found = {}
    for sequence in ranker.spec.sequences:
        name = f"{sequence.name}_item_id"
        if name in table.column_names:
            found[sequence.name] = [
                [str(value) for value in (row or [])][-sequence.max_length :]
                for row in table[name].to_pylist()
            ]
    return found


def read_rows(path: Path, first: int) -> Any:
    """The first rows of a file of raw rows, Parquet or JSON lines, as a polars frame.

    Raises:
        DataError: it is not there, of another kind, or cannot be read; the message names it.
    """
    import polars as pl

    if path.suffix not in FORMATS:
        raise DataError(
            f"{path}: rows are read from {', '.join(FORMATS)}, and not from {path.suffix or 'this'!r}.",
            hint="CSV cannot hold the lists of a history; build_examples writes Parquet.",
        )
    try:
        if path.suffix == ".parquet":
            return pl.read_parquet(path, n_rows=first)
        # Of all lines: lists that are empty in the first ones would lose their later values.
        return pl.read_ndjson(path, infer_schema_length=None).head(first)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(
            f"{path}: the rows cannot be read ({str(error).splitlines()[0]})."
        ) from error
