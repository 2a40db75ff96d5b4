"""Frappe, the log of app usage that published interaction models are compared on, as our rows.

Its files are for research alone and are not shipped: ``folder`` holds what the user got,
``frappe.{train.rebuilt,validation,test}.libfm``. Validation and test are the official files of NFM
(7:2:1). The public train file could not be obtained: ``frappe.train.rebuilt.libfm`` has exactly its
67,604 positives, and negatives drawn anew by the law of the old ones. Every number of it must say so.

As in the published work every id has a row of its own, also those that training never sees; 0 is
kept for a missing id and 1 for an unknown one, and neither occurs.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from benchmarks.accuracy.data import RunData
from hemix.errors import DataError
from hemix.spec import CategoricalFeature, FeatureSpec, Side, TaskSpec, Vocabulary

SPLITS = {
    "train": "frappe.train.rebuilt.libfm",
    "validation": "frappe.validation.libfm",
    "test": "frappe.test.libfm",
}
FIELDS: dict[str, Side] = {
    "user": "user",
    "item": "item",
    "daytime": "context",
    "weekday": "context",
    "isweekend": "context",
    "homework": "context",
    "cost": "item",
    "weather": "context",
    "country": "context",
    "city": "context",
}
STARTS = (0, 957, 5039, 5046, 5053, 5055, 5058, 5060, 5069, 5149, 5382)
"""First global id of each field, and the end of the last."""
RESERVED = 2
TASK = "used"


def spec() -> FeatureSpec:
    """Ten categorical fields and one task."""
    sizes = np.diff(STARTS)
    return FeatureSpec(
        tasks=(TaskSpec(name=TASK, column=f"label_{TASK}"),),
        vocabularies=tuple(
            Vocabulary(name=name, size=int(size) + RESERVED)
            for name, size in zip(FIELDS, sizes, strict=True)
        ),
        categorical=tuple(
            CategoricalFeature(name=name, side=side, vocabulary=name)
            for name, side in FIELDS.items()
        ),
        numeric=(),
        sequences=(),
    )


def read(path: Path) -> tuple[NDArray[np.int8], NDArray[np.int32]]:
    """Labels ``[N]`` (0 or 1) and ids ``[N, 10]``, counted from 0 in each field.

    Raises:
        DataError: the file is missing, or an id is not one of its field.
    """
    if not path.exists():
        raise DataError(
            f"There is no {path}.", hint="--frappe: the folder of the three files of Frappe."
        )
    text = path.read_bytes().replace(b":1", b"")
    options = pa_csv.ReadOptions(column_names=["label", *FIELDS])
    table = pa_csv.read_csv(
        io.BytesIO(text), read_options=options, parse_options=pa_csv.ParseOptions(delimiter=" ")
    )
    ids = np.stack([table[name].to_numpy() for name in FIELDS], 1)
    low, high = np.array(STARTS[:-1]), np.array(STARTS[1:])
    wrong = (ids < low) | (ids >= high)
    if wrong.any():
        row, field = (int(part[0]) for part in np.nonzero(wrong))
        raise DataError(
            f"{path}, line {row + 1}: {ids[row, field]} is no id of {list(FIELDS)[field]} "
            f"({low[field]} to {high[field] - 1})."
        )
    return (table["label"].to_numpy() > 0).astype(np.int8), (ids - low).astype(np.int32)


def prepared(folder: Path, working: Path) -> RunData:
    """The three files as transformed rows under ``working``, written once."""
    transformed, transform = working / "transformed", working / "transform"
    for split, name in SPLITS.items():
        target = transformed / split / "rows.parquet"
        if target.exists():
            continue
        labels, ids = read(folder / name)
        columns = {
            "user_id": ids[:, 0].astype(np.int64),
            "request_id": np.arange(len(ids)),
            f"label_{TASK}": labels,
            **{name: ids[:, place] + RESERVED for place, name in enumerate(FIELDS)},
        }
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(".partial")
        pq.write_table(pa.table(columns), partial)
        partial.rename(target)
    transform.mkdir(parents=True, exist_ok=True)
    spec().write(transform / "spec.json")
    return RunData(transformed, transform)
