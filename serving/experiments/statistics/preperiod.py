"""What is known of users from before the experiment: the covariates of CUPED.

A user without a pre-period has zeros: covariates are centred on those who have one, and one of them
says who has none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from hemix.errors import DataError
from hemix.serving.experiments.statistics.effects import Floats

if TYPE_CHECKING:
    import polars as pl

PRIOR_SIZE = 5.0
"""Weight of the overall ratio in a user's own, in units of the metric's denominator."""


def covariates(numbers: ArrayLike, sizes: ArrayLike) -> Floats:
    """Covariates ``[U, 4]`` from the same metric's sums in the pre-period, ``[U]`` each.

    Whether the user was there; how much (log denominator); how far the user's ratio, shrunk towards
    that of all, lies from it; and that times how much.
    """
    numbers_U = np.asarray(numbers, dtype=np.float64)
    sizes_U = np.asarray(sizes, dtype=np.float64)
    there = sizes_U > 0
    total = sizes_U.sum()
    overall = numbers_U.sum() / total if total else 0.0
    shift = (numbers_U + PRIOR_SIZE * overall) / (sizes_U + PRIOR_SIZE) - overall
    volume = np.log1p(sizes_U)
    volume = np.where(there, volume - (volume[there].mean() if there.any() else 0.0), 0.0)
    return np.stack([there.astype(np.float64), volume, shift, shift * sizes_U], axis=1)


def columns_of(table: pl.DataFrame, users: list[str]) -> Floats:
    """Number columns of a user's own covariates, rows in the order of ``users``, ``[U, C + 1]``.

    Absent users and values have the column's mean; the last column says who is there.

    Args:
        table: user_id, one row per user, and number columns.
        users: those of the experiment.

    Raises:
        DataError: it knows none of the users.
    """
    import polars as pl

    if users and not table["user_id"].cast(pl.String).is_in(users).any():
        has = f"has {table['user_id'][0]!r}" if table.height else "is empty"
        raise DataError(
            f"What is known from before the experiment is of none of its {len(users):,} users: the "
            f"file {has}, the exposures {users[0]!r}.",
            hint="Write user_id as the endpoint is asked for it, or leave the file out.",
        )
    own = pl.DataFrame({"user_id": users}).join(
        table.with_columns(pl.col("user_id").cast(pl.String), known=pl.lit(1.0)),
        on="user_id",
        how="left",
        maintain_order="left",
    )
    names = [name for name in own.columns if name != "user_id"]
    numbers = own.select(
        *(pl.col(name).cast(pl.Float64).fill_nan(None) for name in names)
    ).with_columns(pl.col("known").fill_null(0.0))
    return numbers.select(pl.all().fill_null(strategy="mean").fill_null(0.0)).to_numpy()
