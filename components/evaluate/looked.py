"""What ``evaluation/pictures.json`` holds: what the candidate shows of its weights and of test rows.

Written by evaluate, drawn by report, which needs no torch for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from hemix.components.evaluate.tables import split_dataset
from hemix.files import read_json, write_json

PICTURES_FILE = "pictures.json"
ROWS = 3
LOOKED_AT = 1000


def look_inside(
    model: Path, transformed: Path, served: Callable[[pa.Table], pa.Table]
) -> list[dict[str, Any]]:
    """Pictures in JSON form; none when the ranker offers none.

    The rows: of the first thousand test rows the first of each of a few users.

    Args:
        model: model version folder.
        transformed: its transformed splits.
        served: how such rows are served.
    """
    from hemix.models.data.batch import Batch
    from hemix.models.pictures import pictures_of
    from hemix.models.versions.version import load

    ranker = load(model).ranker
    table = split_dataset(transformed, "test").head(LOOKED_AT)
    users = table["user_id"].to_pylist()
    first = sorted({user: at for at, user in reversed(list(enumerate(users)))}.values())[:ROWS]
    table = table.take(first)
    names = [
        f"user {user}, item {item}"
        for user, item in zip(
            table["user_id"].to_pylist(), table["item_id"].to_pylist(), strict=True
        )
    ]
    batch = Batch.from_table(ranker.spec, served(table))
    found = pictures_of(ranker, ranker.vector_names, batch, names)
    return [picture.as_json() for picture in found]


def write_pictures(folder: Path, pictures: list[dict[str, Any]]) -> None:
    """Keep them in an evaluation."""
    write_json(folder / PICTURES_FILE, pictures)


def read_pictures(folder: Path) -> tuple[Mapping[str, Any], ...]:
    """What :func:`write_pictures` wrote; none for an evaluation of an earlier release."""
    path = folder / PICTURES_FILE
    return tuple(read_json(path)) if path.exists() else ()
