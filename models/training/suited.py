"""What a recipe leaves to the log: which objective its training rows call for."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.errors import DataError
from hemix.models.data.reader import row_groups
from hemix.models.training.recipes import Recipe
from hemix.progress import say
from hemix.spec import FeatureSpec

LOOKED_AT = 1_000_000
"""Training rows that are looked at: whole row groups, until there are so many."""
FIELD = "training.objective.jrc_without_lists"
HALF = 0.5


def suited(recipe: Recipe, spec: FeatureSpec, rows: Path) -> Recipe:
    """``recipe`` as it is trained on the Parquet files under ``rows``; says what it took.

    With ``objective.jrc_without_lists`` JRC by user joins log loss where fewer than half of the rows
    share their request with another, and half or more, in every task, are of users with both labels,
    so that there is something to compare (docs/objectives.md has figures of both kinds of log).

    Raises:
        DataError: the folder holds no rows, or a file is not Parquet or lacks a column.
    """
    training, objective = recipe.training, recipe.training.objective
    if not objective.jrc_without_lists:
        return recipe
    taken = False
    if not objective.bce.weight or objective.compares:
        say(f"objective: as it is set; {FIELD} asks for log loss and no other comparing term")
    elif training.balance_lengths or training.compile == "cuda_graphs":
        field = "balance_lengths" if training.balance_lengths else "compile=cuda_graphs"
        say(f"objective: as it is set; training.{field} does not go with {FIELD}")
    else:
        seen = _first_rows(spec, rows)
        users = min(of_both_labels(seen, spec.keys[1], task.column) for task in spec.tasks)
        taken = in_lists(seen, spec.keys[0]) < HALF <= users
        if taken:
            say(
                f"objective: log loss, and JRC by user: few requests show lists ({FIELD}=false: not)"
            )
        else:
            why = "few users have both labels" if users < HALF else "requests show lists of items"
            say(f"objective: log loss without JRC: {why}")
    return _with(recipe, taken)


def as_written(recipe: Recipe) -> Recipe:
    """``recipe`` with nothing left to the log: the objective that it spells out."""
    return _with(recipe, taken=False)


def _with(recipe: Recipe, taken: bool) -> Recipe:
    training, objective = recipe.training, recipe.training.objective
    found: dict[str, object] = {"jrc_without_lists": False}
    if taken:
        found |= {"jrc": objective.jrc.model_copy(update={"weight": 1.0, "by": "user"})}
    training = training.model_copy(update={"objective": objective.model_copy(update=found)})
    return recipe.model_copy(update={"training": training})


def in_lists(rows: pa.Table, request: str) -> float:
    """Share of ``rows`` that stand in a request with another of them.

    Example:
        >>> in_lists(pa.table({"request_id": ["a", "a", "b", "c"]}), "request_id")
        0.5
    """
    counts = pc.struct_field(pc.value_counts(rows[request]), "counts")
    return float((pc.sum(pc.if_else(pc.greater(counts, 1), counts, 0)).as_py() or 0) / len(rows))


def of_both_labels(rows: pa.Table, user: str, label: str) -> float:
    """Share of ``rows`` whose user has both labels among them.

    Example:
        >>> rows = pa.table({"user_id": ["a", "a", "b", "c"], "label": [0, 1, 1, 0]})
        >>> of_both_labels(rows, "user_id", "label")
        0.5
    """
    plain = pa.table({"user": rows[user], "label": rows[label]})
    found = plain.group_by("user").aggregate(
        [("label", "min"), ("label", "max"), ("label", "count")]
    )
    both = pc.less(found["label_min"], found["label_max"])
    return float((pc.sum(pc.if_else(both, found["label_count"], 0)).as_py() or 0) / len(rows))


def _first_rows(spec: FeatureSpec, rows: Path) -> pa.Table:
    """Request, user and labels of the first row groups under ``rows``."""
    columns = [*spec.keys[:2], *(task.column for task in spec.tasks)]
    found: list[pa.Table] = []
    for group in row_groups([rows]):
        file = pq.ParquetFile(group.path)
        if missing := sorted(set(columns) - set(file.schema_arrow.names)):
            raise DataError(f"{group.path}: there is no column {missing[0]!r}.")
        try:
            found.append(file.read_row_group(group.index, columns=columns))
        except (OSError, pa.ArrowException) as error:
            raise DataError(f"{group.path}: not a whole Parquet file ({error}).") from error
        if sum(map(len, found)) >= LOOKED_AT:
            break
    return pa.concat_tables(found)
