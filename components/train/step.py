"""Step 7, train: transformed rows and a recipe to a model version and its curves."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.train.checkpoints import CURVES, open_checkpoints
from components.train.together import train_together
from hemix.errors import DataError
from hemix.files import atomic_folder, write_json
from hemix.progress import say
from hemix.spec import FeatureSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from models.recipes import Recipe
    from models.train import Trained

EAGER_ROWS = 4096
"""Test rows from which the pairs of :mod:`models.parity` are taken."""


def run(
    *,
    transformed: Path,
    transform: Path,
    recipe: str,
    overrides: Mapping[str, str],
    version: str,
    feature_service: str,
    checkpoints: Path | str,
    out_model: Path,
    out_curves: Path,
    cluster: str = "",
) -> None:
    """Train, on a GPU when there is one, and write the version folder and the curves.

    ``training.processes`` and ``training.nodes`` of the recipe say in how many processes: some on
    this machine under torchrun, or on several nodes as a TrainJob by the settings ``cluster``
    (:class:`TrainCluster` as YAML or JSON).
    ``checkpoints``, a folder or ``s3://``, is kept between attempts: a training that was killed goes
    on from there and ends with the weights it would have had. ``out_curves`` holds ``curves.json``
    and ``tensorboard/``.

    Raises:
        DefinitionError: no such recipe, an override that does not fit it, or several nodes without
            settings of a cluster.
        DataError: a split is empty, or a task has one class only in the training rows.
        StorageError: an output cannot be written.
        EnvironmentProblem: processes died again and again, or the cluster refused or failed the job.
    """
    from models.recipes import recipe_of
    from models.train import Trainer
    from models.version import write

    chosen = recipe_of(recipe, overrides)
    spec = FeatureSpec.read(transform / "spec.json")
    training, validation = transformed / "train", transformed / "validation"
    _both_classes(spec, training)
    started = time.monotonic()
    if together := chosen.training.world > 1:
        train_together(
            chosen,
            spec=transform / "spec.json",
            train=training,
            validation=validation,
            checkpoints=str(checkpoints),
            version=version,
            cluster=cluster,
        )
    with open_checkpoints(str(checkpoints)) as place:
        trainer = Trainer(chosen, spec, training, validation, place.folder, saved=place.keep)
        trained = trainer.finished(time.monotonic() - started) if together else trainer.run()
        with atomic_folder(out_curves) as temporary:
            write_json(temporary / "curves.json", curves(chosen, trained))
            shutil.copytree(place.folder / CURVES, temporary / CURVES)
    write(
        out_model,
        ranker=trained.ranker,
        recipe=chosen,
        transform=transform,
        version=version,
        feature_service=feature_service,
        training_window=_window([training, validation] if chosen.training.refit else [training]),
        metrics=trained.metrics,
        eager=_eager(trained, transformed / "test"),
    )
    scores = ", ".join(f"{name} {value:.4f}" for name, value in trained.metrics.items())
    say(f"{chosen.ranker} trained in {trained.seconds:.0f} s: {scores}")


def curves(recipe: Recipe, trained: Trained) -> dict[str, Any]:
    """What ``curves.json`` holds: the loss a few times an epoch, validation AUC and logloss a task."""
    best = trained.state.best
    return {
        "ranker": recipe.ranker,
        "recipe": recipe.name,
        "parameters": trained.ranker.parameter_counts(),
        "flops_per_sample": trained.ranker.flops_per_sample(),
        "steps_per_epoch": trained.steps_per_epoch,
        "seconds": trained.seconds,
        "reader_wait": trained.reader_wait,
        "collisions": {name: found.model_dump() for name, found in trained.collisions.items()},
        "training": [point.model_dump() for point in trained.state.curve],
        "validation": [point.model_dump() for point in trained.state.validation],
        "best": best.model_dump() if best else None,
    }


def _eager(trained: Trained, test: Path) -> pa.Table | None:
    """What the ranker in memory says of the first test rows, for the gate; None without such rows."""
    import pyarrow.dataset as ds

    from models.parity import eager_scores

    files = sorted(map(str, test.rglob("*.parquet")))
    rows = ds.dataset(files, format="parquet").head(EAGER_ROWS) if files else None
    return eager_scores(trained.ranker, rows) if rows is not None and rows.num_rows else None


def _both_classes(spec: FeatureSpec, folder: Path) -> None:
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    for task in spec.tasks:
        labels = ds.dataset(sorted(map(str, folder.rglob("*.parquet"))), format="parquet")
        column = labels.to_table(columns=[task.column])[task.column]
        values = sorted(pc.unique(column).to_pylist())
        if values != [0, 1] and len(column):
            raise DataError(
                f"The task {task.name!r} has the labels {values} in the training rows; it needs both 0 and 1.",
                hint="Check interactions.labels and the split times of the definition.",
            )


def _window(folders: list[Path]) -> dict[str, str]:
    """First and last event time (UTC, ISO 8601) of the rows that the weights were fitted to."""
    import pyarrow.compute as pc
    import pyarrow.dataset as ds

    paths = [str(path) for folder in folders for path in sorted(folder.rglob("*.parquet"))]
    times = ds.dataset(paths, format="parquet").to_table(columns=["event_time"])["event_time"]
    ends = pc.min_max(times.cast("int64")).as_py()
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return {
        name: (epoch + timedelta(milliseconds=ends[which])).isoformat(timespec="milliseconds")
        for name, which in (("start", "min"), ("end", "max"))
    }
