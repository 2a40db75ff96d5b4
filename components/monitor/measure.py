"""What serving did lately, out of its snapshots, exposures and outcomes, and of the feature store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hemix.errors import FeatureStoreError, ModelVersionError
from hemix.features.definition import DatasetDefinition
from hemix.features.store.publish import PUBLISHED
from hemix.features.store.remote import live_folder
from hemix.features.transform.statistics import Statistics
from hemix.files import read_json
from hemix.serving.experiments import joining
from hemix.serving.experiments.assignment import MODEL_LAYER
from hemix.serving.experiments.logs import (
    ExposureTable,
    OutcomeTable,
    read_exposures,
    read_outcomes,
)
from hemix.serving.experiments.losses import losses_of, too_many
from hemix.serving.monitoring.drift import FeatureBins
from hemix.serving.monitoring.snapshots import Snapshot, read_snapshots
from hemix.serving.registry.registry import Registry
from hemix.spec import FeatureSpec
from hemix.storage import join, list_files, read_bytes

if TYPE_CHECKING:
    import polars as pl

HOUR_MS = 3_600_000


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A version's drift: population stability index a feature, over so many requests."""

    version: str
    samples: int
    psi: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Calibrated:
    """Sums of predictions and outcomes of a task and variant."""

    task: str
    variant: str
    predicted: float
    observed: float
    outcomes: int

    @property
    def pcoc(self) -> float:
        """Predicted over observed; NaN without a positive."""
        return self.predicted / self.observed if self.observed else float("nan")


@dataclass(frozen=True, kw_only=True)
class Measures:
    """Everything of one window; ``ages_h``: view -> age of its newest row in hours; ``lost``: why too
    many outcomes were left out to judge calibration, empty when they were not.
    """

    since_ms: int
    until_ms: int
    users: int
    unknown_users: int
    items: int
    unknown_items: int
    processes: int
    drift: tuple[Drift, ...]
    calibration: tuple[Calibrated, ...]
    ages_h: dict[str, float]
    unreadable: int
    lost: tuple[str, ...] = ()


def measure(
    *,
    exposures: str,
    outcomes: str,
    registry: Registry,
    feature_store: str,
    since_ms: int,
    until_ms: int,
    attribution_ms: int,
    most_lost: float,
) -> Measures:
    """Read and add up what was written between ``since_ms`` and ``until_ms``.

    Args:
        exposures: folder or ``s3://`` prefix of exposures and snapshots.
        outcomes: folder or ``s3://`` prefix.
        registry: which versions are live, with their training statistics.
        feature_store: the live feature store's location.
        since_ms: start of the window, epoch ms.
        until_ms: its end, epoch ms.
        attribution_ms: time after a request within which its outcomes count.
        most_lost: share of exposures or outcomes that may be lost.

    Raises:
        DataError, StorageError: a log cannot be read or lacks a column.
        ModelVersionError: a live version's transform is not in the registry.
    """
    snapshots, unreadable = read_snapshots(exposures)
    calibration, lost = calibration_of(
        exposures,
        outcomes,
        since_ms=since_ms,
        until_ms=until_ms,
        attribution_ms=attribution_ms,
        most_lost=most_lost,
    )
    recent = [s for s in snapshots if since_ms < s.time_ms <= until_ms]
    return Measures(
        since_ms=since_ms,
        until_ms=until_ms,
        users=sum(s.users for s in recent),
        unknown_users=sum(s.unknown_users for s in recent),
        items=sum(s.items for s in recent),
        unknown_items=sum(s.unknown_items for s in recent),
        processes=len({s.process for s in recent}),
        drift=tuple(
            _drift(recent, version, version_bins(registry, version))
            for version in registry.state().shares
        ),
        calibration=calibration,
        lost=lost,
        ages_h=_ages(recent, feature_store, until_ms),
        unreadable=unreadable,
    )


def version_bins(registry: Registry, version: str) -> FeatureBins:
    """A version's watched features and training histograms, out of the registry.

    Raises:
        ModelVersionError: a file is missing; names it.
    """
    where = join(registry.location_of(version), "transform")

    def read(name: str) -> bytes:
        data = read_bytes(join(where, name))
        if data is None:
            raise ModelVersionError(f"{join(where, name)} is missing.", hint="Restore the version.")
        return data

    return FeatureBins.of(
        FeatureSpec.model_validate_json(read("spec.json")),
        Statistics.model_validate_json(read("statistics.json")),
        DatasetDefinition.parse(read("definition.json").decode()),
    )


def _drift(snapshots: Iterable[Snapshot], version: str, bins: FeatureBins) -> Drift:
    samples = 0
    sums: dict[str, Any] = {}
    for snapshot in snapshots:
        samples += snapshot.samples.get(version, 0)
        for feature, counts in snapshot.features.get(version, {}).items():
            # Of another build of the version's transform there would be other bins.
            if feature in bins.training and len(counts) == len(bins.training[feature].bins) + 1:
                sums[feature] = np.asarray(counts) + sums.get(feature, 0)
    return Drift(version=version, samples=samples, psi=bins.psi(sums))


def calibration_of(
    exposures: str,
    outcomes: str,
    *,
    since_ms: int,
    until_ms: int,
    attribution_ms: int,
    most_lost: float,
) -> tuple[tuple[Calibrated, ...], tuple[str, ...]]:
    """Predicted and observed of requests of the window whose outcomes came; empty without any.

    An item counts when it has an outcome, whatever its value.

    Args:
        exposures: folder or ``s3://`` prefix.
        outcomes: folder or ``s3://`` prefix.
        since_ms: start of the window, epoch ms.
        until_ms: its end, epoch ms.
        attribution_ms: time after a request within which its outcomes count.
        most_lost: share of exposures or outcomes that may be lost.

    Returns:
        ``(found, lost)``; ``lost`` says why more than ``most_lost`` of exposures or outcomes were
        left out.
    """
    import polars as pl

    if not (_any(exposures, "exposures-") and _any(outcomes, "")):
        return (), ()
    read, followed = read_exposures(exposures, layer=MODEL_LAYER), read_outcomes(outcomes)
    # One epoch: the window's. Outcomes of older requests are not lost.
    window = pl.col("time_ms").is_between(since_ms, until_ms, closed="right")
    rows = read.rows.with_columns(epoch=pl.when(window).then(pl.lit("now")).otherwise(pl.lit("")))
    joined = joining.join(
        ExposureTable(
            rows=rows, tasks=read.tasks, unreadable=read.unreadable, example=read.example
        ),
        OutcomeTable(rows=followed.rows, unreadable=followed.unreadable, example=followed.example),
        epoch="now",
        window_ms=attribution_ms,
    )
    parts = [_of_task(joined.outcomes, joined.requests, task) for task in read.tasks]
    lost = too_many(losses_of(joined), most_lost)
    return tuple(part for group in parts for part in group), tuple(lost)


def _of_task(joined: pl.DataFrame, requests: pl.DataFrame, task: str) -> list[Calibrated]:
    import polars as pl

    scores = requests.select("request_id", "variant", scores=f"scores_{task}")
    found = (
        joined.filter(pl.col("task") == task)
        .join(scores, on="request_id", how="inner")
        .with_columns(predicted=pl.col("scores").list.get(pl.col("position"), null_on_oob=True))
        .drop_nulls("predicted")
        .group_by("variant")
        .agg(
            pl.col("predicted").cast(pl.Float64).sum(),
            pl.col("value").sum(),
            pl.len().alias("rows"),
        )
        .sort("variant")
    )
    return [
        Calibrated(task=task, variant=variant, predicted=predicted, observed=value, outcomes=rows)
        for variant, predicted, value, rows in found.rows()
    ]


def _any(location: str, beginning: str) -> bool:
    if Path(location).is_file():
        return True
    names = (name.rpartition("/")[2] for name in list_files(location))
    return any(
        name.startswith(beginning) and name.endswith((".jsonl", ".parquet")) for name in names
    )


def _ages(snapshots: Iterable[Snapshot], feature_store: str, now_ms: int) -> dict[str, float]:
    """Hours since the newest row that was served of each view; as published where none was."""
    newest = published_views(feature_store)
    served: dict[str, float] = {}
    for snapshot in snapshots:
        for view, at in snapshot.newest.items():
            served[view] = max(float(at), served.get(view, 0.0))
    newest |= served
    return {view: (now_ms - at) / HOUR_MS for view, at in sorted(newest.items())}


def published_views(feature_store: str) -> dict[str, float]:
    """View without its digest -> epoch ms of its newest publication; empty without a store."""
    try:
        path = live_folder(feature_store) / PUBLISHED
    except FeatureStoreError:
        return {}
    newest: dict[str, float] = {}
    for name, (as_of, _) in (read_json(path)["views"] if path.is_file() else {}).items():
        moment = datetime.fromisoformat(as_of)
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        base = name.rpartition("_")[0]
        newest[base] = max(moment.timestamp() * 1000, newest.get(base, 0.0))
    return newest
