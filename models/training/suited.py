"""What a recipe leaves to the log: which objective its training rows call for."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from hemix.models.data.reader import row_groups
from hemix.models.training.recipes import Recipe
from hemix.progress import say

LOOKED_AT = 1_000_000
"""Training rows whose request ids are counted; row groups after these are not read."""
FIELD = "training.objective.jrc_without_lists"


def suited(recipe: Recipe, rows: Path) -> Recipe:
    """``recipe`` as it is trained on the Parquet files under ``rows``; says what it took.

    ``objective.jrc_without_lists`` becomes JRC by user where the rows are no lists
    (docs/objectives.md has the figures of both kinds of log).

    Raises:
        DataError: the folder holds no rows, or a file is not Parquet.
    """
    training, objective = recipe.training, recipe.training.objective
    if not objective.jrc_without_lists:
        return recipe
    found: dict[str, object] = {"jrc_without_lists": False}
    if objective.compares or training.balance_lengths or training.compile == "cuda_graphs":
        why = "another term compares rows" if objective.compares else "rows do not stand by user"
        say(f"objective: as it is set, since {why}; {FIELD} is not followed")
    elif in_lists(rows) < 0.5:
        found |= {"jrc": objective.jrc.model_copy(update={"weight": 1.0})}
        say(
            f"objective: log loss, and JRC by user: requests show one item each ({FIELD}=false: not)"
        )
    else:
        say("objective: log loss alone: requests show lists of items")
    training = training.model_copy(update={"objective": objective.model_copy(update=found)})
    return recipe.model_copy(update={"training": training})


def in_lists(rows: Path) -> float:
    """Share of the first rows under ``rows`` that stand in a request with another of them.

    Raises:
        DataError: the folder holds no rows, or a file is not Parquet.
    """
    counts: dict[str, int] = {}
    read = 0
    for group in row_groups([rows]):
        column = pq.ParquetFile(group.path).read_row_group(group.index, columns=["request_id"])
        for found in pc.value_counts(column["request_id"].drop_null()).to_pylist():
            counts[found["values"]] = counts.get(found["values"], 0) + found["counts"]
        read += group.rows
        if read >= LOOKED_AT:
            break
    return sum(count for count in counts.values() if count > 1) / read
