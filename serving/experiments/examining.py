"""Look at an experiment once: read the logs, analyse, decide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hemix.errors import DataError
from hemix.serving.experiments.analysis import analyse
from hemix.serving.experiments.assignment import MODEL_LAYER
from hemix.serving.experiments.cells import id_of
from hemix.serving.experiments.decision import decide
from hemix.serving.experiments.design import Design, design_of
from hemix.serving.experiments.joining import join
from hemix.serving.experiments.layers import Experiments
from hemix.serving.experiments.logs import read_exposures, read_outcomes
from hemix.serving.experiments.policy import ExperimentPolicy
from hemix.serving.experiments.results import Analysis, Decision

if TYPE_CHECKING:
    import polars as pl

    from hemix.serving.registry.registry import Registry


@dataclass(frozen=True, kw_only=True)
class Examination:
    """The experiment, what its logs say, and what to do. ``analysis`` is None when none runs."""

    design: Design
    analysis: Analysis | None
    decision: Decision


def examine(
    *,
    exposures: str,
    outcomes: str,
    registry: Registry,
    policy: ExperimentPolicy,
    layer: str = MODEL_LAYER,
    experiments: Path | None = None,
    known: Path | None = None,
) -> Examination:
    """Examine the experiment that runs in ``layer`` now.

    Args:
        exposures: folder or ``s3://`` prefix.
        outcomes: folder or ``s3://`` prefix, or one file.
        registry: which versions serve whom.
        policy: what it is judged by.
        layer: the layer whose experiment it is; the models' by default.
        experiments: ``experiments.yaml``; None or absent: the model layer only.
        known: Parquet file of user_id and number columns from before the experiment, for CUPED.

    Raises:
        DataError: logs are missing or lack a column.
        DefinitionError: a layer or a metric's task that there is not.
        RegistryError: no version is deployed.
    """
    layers = (
        Experiments.load(experiments) if experiments and experiments.is_file() else Experiments()
    )
    design = design_of(layer, registry.state(), layers)
    if not design.running:
        return Examination(design=design, analysis=None, decision=_nothing(design))
    shown = read_exposures(exposures, layer=layer)
    followed = read_outcomes(outcomes)
    joined = join(
        shown,
        followed,
        epoch=design.epoch,
        window_ms=policy.attribution_ms,
        arms={arm.name: arm.version for arm in design.arms},
    )
    analysis = analyse(
        design, joined, followed, policy, known=before_experiment(known) if known else None
    )
    return Examination(design=design, analysis=analysis, decision=decide(design, analysis, policy))


def _nothing(design: Design) -> Decision:
    reason = f"No experiment runs in the layer {design.layer}: one arm has all users."
    return Decision(layer=design.layer, epoch=design.epoch, verdict="none", reasons=(reason,))


def before_experiment(path: Path) -> pl.DataFrame:
    """user_id (text, one row per user) and the number columns of a Parquet file.

    Ids are read as those of outcomes are: ``7``, ``7.0`` and ``"7"`` are one user.

    Raises:
        DataError: it cannot be read, lacks such columns, an id is none or has lost digits, a user
            is given twice, or a number is infinite; names column, row and value.
    """
    import polars as pl

    try:
        table = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise DataError(f"{path}: cannot read as Parquet ({error}).") from error
    numbers = [
        name for name, kind in table.schema.items() if kind.is_numeric() and name != "user_id"
    ]
    if "user_id" not in table.columns or not numbers:
        raise DataError(f"{path}: needs user_id and at least one number column.")
    users = pl.Series("user_id", _ids(path, table["user_id"]), dtype=pl.String)
    if users.n_unique() < users.len():
        rows = users.is_duplicated().arg_true()
        first, second = users.eq(users[rows[0]]).arg_true()[:2]
        raise DataError(
            f"{path}: user {users[first]!r} stands in rows {first + 1} and {second + 1}; rows of users "
            f"that stand more than once: {rows.len():,}.",
            hint="Write one row per user: sum or average what was known of it.",
        )
    for name in numbers:
        values = table[name]
        if values.dtype.is_float() and (bad := values.is_infinite().fill_null(False)).any():
            row = int(bad.arg_true()[0])
            raise DataError(
                f"{path}: {name} of row {row + 1} is {values[row]}.",
                hint="Write null where a number is not known.",
            )
    return table.select(users, *numbers)


def _ids(path: Path, values: pl.Series) -> list[str]:
    """A column of user ids as text."""
    found = []
    for row, value in enumerate(values.to_list(), start=1):
        try:
            found.append(id_of(value))
        except ValueError as error:
            raise DataError(f"{path}: user_id of row {row}: {value!r} {error}.") from error
    return found
